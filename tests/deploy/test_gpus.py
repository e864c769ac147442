"""The GPUs that `intarsia up --gpu` uses: asked for in a process of its own, and refused with a remedy."""

from __future__ import annotations

import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from deploy.local import __main__ as up
from deploy.local import gpus
from deploy.local.gpus import PROCESS_BYTES, GpuError, GpuMemory, parse_indices
from deploy.local.models import REPOSITORY, repository_models
from deploy.local.placement import Gpu, ModelMemory
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import StartError
from orchestrator.models.registry import MODELS
from orchestrator.settings import Settings
from services.bundles.bundle import Bundle, BundleError, open_bundles
from services.runtime import gpu_memory
from tests.pretend_gpus import GIB, pretend_gpus


class Cuda:
    """Stands for torch.cuda on a machine with some GPUs, by their free bytes; None for one out of order."""

    def __init__(self, *free: int | None) -> None:
        self._free = free

    def is_available(self) -> bool:
        return bool(self._free)

    def device_count(self) -> int:
        return len(self._free)

    def get_device_name(self, index: int) -> str:
        return f"Pretend {index}"

    def mem_get_info(self, index: int) -> tuple[int, int]:
        free = self._free[index]
        if free is None:
            raise RuntimeError("CUDA error: all CUDA-capable devices are busy or unavailable\nmore lines")
        return free, 80 * GIB


def memory(cuda: Cuda, *wanted: int, networks: dict[str, int] | None = None, **environment: str) -> GpuMemory:
    """What the source finds on such a machine, for the models of the repository."""

    def ask(weights: Path, indices: tuple[int, ...], names: list[str]) -> dict[str, Any]:
        sizes = networks or dict.fromkeys(names, GIB)
        return {**gpu_memory.gpus(indices or None, cuda), "networks": sizes}

    return gpus._gpu_memory(wanted, Path("weights"), repository_models(), ask, environment)


def test_every_visible_gpu_is_used_unless_some_are_named():
    cuda = Cuda(70 * GIB, 30 * GIB, 20 * GIB)
    assert memory(cuda).gpus == tuple(
        Gpu(index, f"Pretend {index}", free * GIB, str(index)) for index, free in enumerate((70, 30, 20))
    )
    assert [one.index for one in memory(cuda, 2, 0).gpus] == [2, 0]


def test_a_server_sees_its_gpu_by_the_name_under_which_this_process_does():
    found = memory(Cuda(GIB, GIB), CUDA_VISIBLE_DEVICES="GPU-8f0a, 3")
    assert [one.visible for one in found.gpus] == ["GPU-8f0a", "3"]


@pytest.mark.parametrize(
    ("cuda", "wanted", "words"),
    [
        (Cuda(), (), r"no GPU can be used: .*; without --gpu the models run on the processor"),
        (Cuda(), (0,), r"no GPU can be used"),
        (Cuda(1, 1), (7,), r"--gpu 7: there is no GPU 7; those that can be used are 0 to 1"),
        (Cuda(1, 1), (0, 2, 3), r"--gpu 0,2,3: there is no GPU 2 or 3"),
        (Cuda(1), (1,), r"there is no GPU 1; the only one is 0"),
        (
            Cuda(1, None),
            (),
            r"GPU 1 \(Pretend 1\) cannot be used: CUDA error: all [^\n]* unavailable; name others",
        ),
    ],
)
def test_gpus_that_cannot_be_used_are_named(cuda: Cuda, wanted: tuple[int, ...], words: str):
    with pytest.raises(GpuError, match=words):
        memory(cuda, *wanted)


def test_only_the_named_gpus_are_touched():
    assert [one.index for one in memory(Cuda(None, GIB), 1).gpus] == [1]


def test_a_model_needs_its_weights_its_working_memory_and_a_process():
    sizes = {model.name: model for model in memory(Cuda(GIB)).models}
    assert sizes["ip2p_unet"] == ModelMemory("ip2p_unet", PROCESS_BYTES + 2 * GIB, step_loop=True)
    assert sizes["sd2_inpaint"] == ModelMemory("sd2_inpaint", PROCESS_BYTES + 2 * GIB, True, True)
    assert sizes["sam"] == ModelMemory("sam", PROCESS_BYTES + (1 + 1) * (1 + 3) * GIB)


@pytest.mark.parametrize("text", ["x", "", "0,", "-1", "0 1", "²", "0.5"])
def test_what_is_no_list_of_gpus_is_refused(text: str, capsys: pytest.CaptureFixture[str]):
    with pytest.raises(SystemExit) as ended:
        up.main(["--gpu", text] if text != "-1" else ["--gpu=-1"])
    assert ended.value.code == 2
    assert f"argument --gpu: {text!r} must be indices of GPUs separated by commas" in capsys.readouterr().err


def test_a_gpu_is_not_named_twice():
    assert parse_indices("0, 1") == (0, 1)
    with pytest.raises(ValueError, match="'0,1,0' names a GPU twice"):
        parse_indices("0,1,0")


def test_gpu_without_a_list_means_all_and_its_absence_none():
    options = [up.parser().parse_args(line.split()).gpu for line in ("", "--gpu", "--gpu 1,0")]
    assert options == [None, (), (1, 0)]


@pytest.mark.skipif(torch.cuda.is_available(), reason="this machine has a GPU")
def test_without_a_gpu_up_ends_at_once_with_the_reason(
    bundles: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    """Through the process that asks, with the real torch."""
    assert up.main(["--gpu", "--port", "0", "--data", str(tmp_path), "--weights", str(bundles)]) == 1
    said = capsys.readouterr().err
    assert said.startswith("no GPU can be used: ") and "without --gpu" in said
    assert list(tmp_path.iterdir()) == [], "nothing was started"


def test_an_unreadable_bundle_is_named_by_the_process_that_asks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    failed = SimpleNamespace(returncode=1, stdout="", stderr="no bundle at nowhere/sam\n")
    asked = []
    monkeypatch.setattr(subprocess, "run", lambda command, **_: asked.append(command) or failed)
    with pytest.raises(GpuError, match="no bundle at nowhere/sam"):
        gpus.gpu_source([1])(tmp_path, repository_models())
    (command,) = asked
    assert command[0] == sys.executable and command[3:6] == [str(tmp_path), "--gpus", "1"]
    assert command[-1] == "sd2_inpaint/unet" and "*/vae" in command


def test_networks_are_counted_as_they_are_loaded_on_a_gpu(bundles: Path):
    """Two bytes a number, whatever type the file has; `*` stands for every bundle that has the network."""
    counted = {
        f"{name}/{part}": 2 * Bundle.open(bundles / name).inventory(part).parameters
        for name, part in [("ip2p", "unet"), ("ip2p", "vae"), ("sd2_inpaint", "vae")]
    }
    for name, size in counted.items():
        assert size <= gpu_memory.network_bytes(bundles, name) < 1.01 * size
    both = sum(gpu_memory.network_bytes(bundles, f"{name}/vae") for name in ("ip2p", "sd2_inpaint"))
    assert gpu_memory.network_bytes(bundles, "*/vae") == both
    assert gpu_memory.network_bytes(bundles, "sam/unet") == 0
    with pytest.raises(BundleError, match="'sam' must be a bundle and one of its networks: unet"):
        gpu_memory.network_bytes(bundles, "sam")


def test_a_bundle_in_single_precision_takes_twice_as_much(bundles: Path, tmp_path: Path):
    single = tmp_path / "ip2p"
    single.mkdir()
    (single / "unet").symlink_to(bundles / "ip2p/unet")
    (single / "intarsia.json").write_text('{"dtype": "float32"}')
    half = gpu_memory.network_bytes(bundles, "ip2p/unet")
    assert gpu_memory.network_bytes(tmp_path, "ip2p/unet") == 2 * half


def test_every_network_of_the_bundles_is_counted_for_one_model(bundles: Path):
    stored = [f"{name}/{part}" for name, one in open_bundles(bundles).items() for part in one.components]
    counted = [
        network
        for model in repository_models()
        for wanted in model.networks
        for network in stored
        if fnmatch(network, wanted)
    ]
    assert sorted(counted) == sorted(stored)
    assert all(gpu_memory.network_bytes(bundles, name) > 0 for name in stored)
    assert all(model.networks and model.working_memory > 0 for model in repository_models())


def stack(tmp_path: Path, weights: Path, *gib: float, **more: Any) -> Stack:
    return Stack(StackSettings(data=tmp_path / "data", weights=weights, gpus=pretend_gpus(*gib), **more))


def test_each_gpu_has_a_server_that_sees_no_other(bundles: Path, tmp_path: Path):
    made = stack(tmp_path, bundles, 6, 4)
    first, second = (server.triton.settings for server in made.servers)
    assert first.models == made.models and len(second.models) == 3
    assert {"ip2p_unet", "sd2_inpaint"} < set(second.models)
    assert [one.environment["CUDA_VISIBLE_DEVICES"] for one in (first, second)] == ["GPU-0", "GPU-1"]
    assert len({one.work for one in (first, second)}) == 2
    ports = [port for one in (first, second) for port in (one.grpc_port, one.metrics_port)]
    assert len(set(ports)) == 4
    assert made.places[0].startswith("GPU 0 (pretend, 6.0 GiB free): ip2p_unet 1.0 GiB, sam 1.0 GiB, ")
    assert [line.rpartition(", at ")[2] for line in made.places] == [one.triton.url for one in made.servers]


def test_step_loops_divide_the_memory_of_their_own_gpu(bundles: Path, tmp_path: Path):
    made = stack(tmp_path, bundles, 3, 5.5)
    shares = {
        server.models: float(server.triton.settings.environment["INTARSIA_MEMORY_SHARE"])
        for server in made.servers
    }
    loops = [sum(one in ("ip2p_unet", "sd2_inpaint") for one in models) for models in shares]
    assert sorted(loops) == [1, 2]
    assert list(shares.values()) == [pytest.approx(0.6 / count) for count in loops]


def test_the_orchestrator_learns_the_addresses_of_every_copy(bundles: Path, tmp_path: Path):
    made = stack(tmp_path, bundles, 6, 4)
    first, second = (server.triton.url for server in made.servers)
    read = Settings.read(made.orchestrator._environment, MODELS)
    for model in made.models:
        copies = (first, second) if model in made.servers[1].models else (first,)
        assert read.triton[model] == copies


def test_fixed_ports_are_those_of_the_first_server_and_the_next(
    bundles: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    asked: list[list[int]] = []
    monkeypatch.setattr(
        "deploy.local.stack.choose_ports", lambda ports: asked.append(ports) or [1, 2, 3, 4, 5, 6]
    )
    stack(tmp_path, bundles, 6, 6, triton_port=8001, triton_metrics_port=9001, port=50051)
    assert asked == [[50051, 0, 8001, 9001, 8002, 9002]]


def test_models_that_fit_on_no_gpu_are_named_before_anything_starts(bundles: Path, tmp_path: Path):
    with pytest.raises(StartError, match=r"not enough GPU memory for sd2_inpaint 1\.0 GiB"):
        stack(tmp_path, bundles, 3, 2.6)
    assert not (tmp_path / "data").exists()


def test_the_repository_is_as_the_models_are_placed():
    """Each server sees one GPU, as 0."""
    assert all("gpus: [ 0 ]" in file.read_text() for file in REPOSITORY.glob("*/config.pbtxt"))

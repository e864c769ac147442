"""A compiled network beside the loaded one, with compilers that a processor has."""

from __future__ import annotations

import logging
import shutil
import sys
import sysconfig
from functools import partial
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from services.acceleration import compile_requirements
from services.acceleration.compile_requirements import missing_requirement, prepare_compiler
from services.acceleration.compiled_forward import CompiledForward, NetworkCompiler, channels_last_twin
from services.acceleration.graphed_passes import WARM_PASSES, GraphedPasses
from tests.services.acceleration.doubles import TapeRecorder

CACHE = Path("unused")


class Mixer(nn.Module):
    """A convolution, and a linear layer over channels."""

    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4, 2)
        draws = torch.Generator().manual_seed(3)
        for parameter in self.requires_grad_(False).parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)

    def forward(self, latents: Tensor, level: Tensor) -> Tensor:
        hidden = torch.tanh(self.first(latents)) + level[:, None, None, None]
        return self.second(hidden.permute(0, 2, 3, 1)).permute(0, 3, 1, 2)


def call(network: nn.Module, latents: Tensor, level: Tensor) -> Tensor:
    return network(latents, level).float()


class Backend:
    """Runs what it is given to compile as it is; counts, and can fail."""

    def __init__(self) -> None:
        self.compiled = 0
        self.fails = False

    def __call__(self, module, inputs):
        if self.fails:
            raise ValueError("no such instruction\nand so on")
        self.compiled += 1
        return module.forward


class Compiler(NetworkCompiler):
    """A compiler for which nothing is missing, or what it is told."""

    missing = ""

    def prepare(self, cache: Path | None) -> str:
        return self.missing


def drawn(rows: int, side: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2, side, side, generator=draws), torch.rand(rows, generator=draws)


@pytest.fixture(autouse=True)
def nothing_compiled():
    yield
    if "torch._dynamo" in sys.modules:
        torch.compiler.reset()


@pytest.fixture
def network() -> Mixer:
    return Mixer()


@pytest.fixture
def backend() -> Backend:
    return Backend()


@pytest.fixture
def compiler(network, backend) -> Compiler:
    return Compiler(network, call, backend)


@pytest.fixture
def passes(network, compiler) -> GraphedPasses:
    made = GraphedPasses(partial(call, network), TapeRecorder(), compiler)
    made.limit(1 << 30)
    return made


def test_the_twin_shares_weights_and_leaves_the_network_as_it_was(network):
    before = {name: (tensor, tensor.stride()) for name, tensor in network.named_parameters()}
    twin = channels_last_twin(network)
    for name, tensor in network.named_parameters():
        assert tensor is before[name][0] and tensor.stride() == before[name][1]
    assert twin.second.weight is network.second.weight and twin.first.bias is network.first.bias
    assert twin.first.weight.is_contiguous(memory_format=torch.channels_last)
    assert torch.equal(twin.first.weight, network.first.weight)


def test_usual_shapes_are_compiled_and_others_are_not(passes, network, backend):
    passes.compile(lambda: [passes(*drawn(rows)) for rows in (3, 5)], CACHE)
    assert backend.compiled == 2
    for rows in (3, 6, 5, 2):
        for seed in range(WARM_PASSES + 2):
            inputs = drawn(rows, seed=seed)
            torch.testing.assert_close(passes(*inputs), call(network, *inputs))
    facts = passes.facts()
    assert (facts["path"], facts["compiled"], facts["graphs"]) == ("compiled + graphs", 2, 3)
    assert backend.compiled == 2


def test_nothing_is_compiled_while_requests_wait(network, backend):
    forward = CompiledForward(network, call, backend)
    forward.compile(*drawn(3))
    for inputs in (drawn(3), drawn(4), drawn(3, side=6)):
        torch.testing.assert_close(forward(*inputs), call(network, *inputs))
    assert backend.compiled == 1


def test_hooks_reach_eager_passes_alone(passes, network):
    passes.compile(lambda: passes(*drawn(3)), CACHE)
    hook = network.first.register_forward_hook(lambda layer, inputs, output: output + 1)
    adapted = passes(*drawn(3), eager=True)
    assert torch.equal(adapted, call(network, *drawn(3)))
    bare = passes(*drawn(3))
    hook.remove()
    torch.testing.assert_close(bare, call(network, *drawn(3)))
    assert (bare - adapted).abs().max() > 0.01


def test_an_eager_pass_has_the_same_bytes_before_and_after_compiling(passes):
    before = passes(*drawn(3), eager=True)
    passes.compile(lambda: passes(*drawn(3)), CACHE)
    assert torch.equal(passes(*drawn(3), eager=True), before)


@pytest.mark.parametrize("fault", ["missing", "failing"])
def test_without_a_compiler_the_network_runs_as_graphs_and_says_so(passes, compiler, backend, caplog, fault):
    compiler.missing = "no C compiler is found" if fault == "missing" else ""
    backend.fails = True
    with caplog.at_level(logging.WARNING):
        passes.compile(lambda: passes(*drawn(3)), CACHE)
    reason = "no C compiler" if fault == "missing" else "no such instruction"
    facts = passes.facts()
    assert facts["path"] == "graphs" and reason in facts["not_compiled"] and reason in caplog.text
    inputs = drawn(3)
    torch.testing.assert_close(passes(*inputs), Mixer()(*inputs))


@pytest.fixture
def complete(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A folder for the cache on a machine that has all that compiling needs."""
    (tmp_path / "Python.h").touch()
    monkeypatch.setattr(compile_requirements.importlib.util, "find_spec", lambda name: name)
    monkeypatch.setattr(shutil, "which", lambda name: f"/usr/bin/{name}" if name == "cc" else None)
    monkeypatch.setattr(sysconfig, "get_paths", lambda: {"include": str(tmp_path)})
    return tmp_path / "cache"


def test_all_that_compiling_needs_is_found(complete):
    assert missing_requirement(complete) == ""
    assert complete.is_dir()


@pytest.mark.parametrize(
    ("lacks", "remedy"),
    [
        ("triton", "install PyTorch with CUDA"),
        ("compiler", "name it in CC"),
        ("headers", "install the headers"),
        ("cache", "INTARSIA_CACHE names no folder"),
        ("room", "name another in INTARSIA_CACHE"),
    ],
)
def test_what_is_missing_is_named_with_its_remedy(complete, monkeypatch, lacks, remedy):
    if lacks == "triton":
        monkeypatch.setattr(compile_requirements.importlib.util, "find_spec", lambda name: None)
    elif lacks == "compiler":
        monkeypatch.setattr(shutil, "which", lambda name: None)
    elif lacks == "headers":
        (complete.parent / "Python.h").unlink()
    elif lacks == "room":
        complete.write_text("not a folder")
    assert remedy in missing_requirement(None if lacks == "cache" else complete)


def test_compiled_code_is_kept_in_the_folder_unless_the_environment_names_another(monkeypatch, tmp_path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "")
    monkeypatch.delenv("TORCHINDUCTOR_CACHE_DIR")
    prepare_compiler(tmp_path)
    assert compile_requirements.os.environ["TORCHINDUCTOR_CACHE_DIR"] == str(tmp_path / "torchinductor")
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", "/elsewhere")
    prepare_compiler(tmp_path)
    assert compile_requirements.os.environ["TORCHINDUCTOR_CACHE_DIR"] == "/elsewhere"


def test_inside_triton_no_worker_processes_are_started(monkeypatch, tmp_path):
    import torch._inductor.config as inductor

    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(inductor, "compile_threads", 8)
    prepare_compiler(tmp_path)
    assert inductor.compile_threads == 8
    monkeypatch.setattr(compile_requirements.sys, "executable", "/opt/triton_python_backend_stub")
    prepare_compiler(tmp_path)
    assert inductor.compile_threads == 1

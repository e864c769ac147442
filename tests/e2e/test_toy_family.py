"""A denoiser is added by the steps of docs/adding-a-model.md, in a copy, and served by the whole platform."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import save_file
from tritonclient.grpc import InferenceServerException

import intarsia
from deploy.local.models import repository_models
from deploy.local.probe import probe
from deploy.local.stack import Stack, StackSettings
from intarsia import errors
from tests.e2e.conftest import THREADS
from tests.e2e.triton import TritonClient, text
from tests.e2e.waiting import PATIENCE, WHERE, edit, photo
from tests.pretend_gpus import pretend_gpus

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adding-a-model.md"
GPU, CPU = "kind: KIND_GPU count: 1 gpus: [ 0 ]", "kind: KIND_CPU count: 1"


def code() -> dict[str, str]:
    """The page's code by file: a block's first line names it."""
    blocks = re.findall(r"^```\w*\n# (\S+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return {file: content.rstrip() + "\n" for file, content in blocks}


def add_lines(file: Path, mapping: str, entry: str, imports: str = "") -> None:
    """Adds an entry to a mapping of a registry, and its import after the others."""
    lines = file.read_text().splitlines()
    if imports:
        last = max(number for number, line in enumerate(lines) if line.startswith("from services."))
        lines.insert(last + 1, imports)
    start = next(number for number, line in enumerate(lines) if line.startswith(f"{mapping}: "))
    lines.insert(start + 1, entry)
    file.write_text("\n".join(lines) + "\n")


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The services, the model repository and the orchestrator, with the toy added as the page says."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("services", "model_repository", "orchestrator"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = code()
    imports, entry = files.pop("services/registry.py").split("\n\n")
    add_lines(root / "services/registry.py", "FAMILIES", entry, imports)
    registry = "orchestrator/models/registry.py"
    add_lines(root / registry, "MODELS", files.pop(registry))
    config = files["model_repository/toy/config.pbtxt"]
    assert GPU in config
    files["model_repository/toy/configs/cpu.pbtxt"] = config.replace(GPU, CPU)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture(scope="module")
def platform(copy: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform, run from the copy, as on two GPUs that have room for all models only together."""
    settings = StackSettings(
        data=tmp_path_factory.mktemp("stack"),
        weights=weights,
        repository=copy / "model_repository",
        gpus=pretend_gpus(4.0, 3.0, text_encoder=0.5),
        threads=THREADS,
        environment={"PYTHONPATH": f"{copy}:{ROOT}"},
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(
            copy
        )  # Triton's models and `python -m orchestrator` import from here before any other folder
        with Stack(settings) as running:
            yield running


@pytest.fixture(scope="module")
def toy(platform: Stack) -> Iterator[TritonClient]:
    """A client of the Triton that serves the toy."""
    with TritonClient(platform.triton.url, platform.triton.key) as client:
        yield client


def tensors(steps: int = 4, **more: np.ndarray) -> dict[str, np.ndarray]:
    source = np.random.default_rng(1).normal(size=(3, 6, 5)).astype(np.float32)
    return {
        "source": source,
        "shift": np.array([2.5], np.float32),
        "seed": np.array([1], np.uint64),
        "steps": np.array([steps], np.int32),
        **more,
    }


def test_the_platform_serves_the_toy_beside_all_other_models(platform: Stack):
    assert set(platform.models) == {*(model.name for model in repository_models()), "toy"}


def test_two_servers_have_a_part_of_the_models_each_and_jobs_use_both(platform: Stack):
    assert [set(server.models) for server in platform.servers] == [
        {"ip2p_unet", "sam", "text_encoder", "toy"},
        {"sd2_inpaint", "text_encoder", "vae"},
    ]
    with intarsia.Client(platform.address) as client:
        edited = edit(client, photo(), seed=1, steps=2)
        filled = client.fill_region(photo(), intarsia.rectangle(*WHERE), seed=1, steps=2)
        for job in (edited, filled):
            assert job.result(timeout=PATIENCE).picture
    assert platform.failed() is None


def test_the_toy_tells_its_facts_and_answers_a_probe(toy: TritonClient):
    facts = probe(toy.client, "toy", seconds=30)
    assert facts["defaults"] == {"steps": 4, "scheduler": "ddim"}
    assert facts["passes"][0]["work"] == 64, "the step loop measured what a pass of the toy costs"


def test_the_toy_moves_latents_step_by_step(toy: TritonClient):
    request = tensors(steps=5)
    with toy.stream("toy", request) as stream:
        replies = list(stream)
    assert [reply.as_numpy("progress").tolist() for reply in replies] == [[i, 5] for i in range(1, 6)]
    np.testing.assert_allclose(replies[-1].as_numpy("latents"), request["source"] + 2.5, atol=1e-5)


def test_the_toy_tells_what_a_request_costs(toy: TritonClient):
    cost = text({"sheets": [[256, 256], [128, 256]], "steps": 500})
    with toy.stream("toy", {"ask": text("cost"), "cost": cost}) as stream:
        answer = json.loads(stream.reply().as_numpy("facts").tobytes())
    assert answer["evaluations"] == 1 and answer["seconds"] > 0


def test_the_toy_refuses_what_it_cannot_do(toy: TritonClient):
    with toy.stream("toy", tensors(steps=0)) as stream, pytest.raises(InferenceServerException) as refused:
        stream.reply()
    assert str(refused.value.message()).startswith("INVALID_FIELD: steps must be in [1, ")
    no_sheet = {"ask": text("cost"), "cost": text({"sheets": [[0, 8]]})}
    with toy.stream("toy", no_sheet) as stream, pytest.raises(InferenceServerException) as refused:
        stream.reply()
    assert str(refused.value.message()).startswith("INVALID_FIELD: cost must have one sheet or more")


def test_the_orchestrator_knows_the_toy(platform: Stack, tmp_path: Path):
    """A file is brought to the toy, which takes no adapters; another name is of no model."""
    file = tmp_path / "adapter.safetensors"
    save_file({"unet.to_q.weight": np.ones((2, 2), np.float32)}, file)
    with intarsia.Client(platform.address) as client:
        with pytest.raises(errors.InvalidRequest, match="is not for this model, which takes none"):
            client.inspect_adapter(file, "toy")
        with pytest.raises(errors.InvalidRequest, match="toy"):
            client.inspect_adapter(file, "toys")

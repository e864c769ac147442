"""A denoiser is added by the steps of docs/adding-a-model.md, in a copy, and served through Triton."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerException

from deploy.local.models import served_models
from deploy.local.ports import choose_ports
from deploy.local.probe import probe
from deploy.local.triton import Triton, TritonSettings
from tests.e2e.conftest import THREADS
from tests.e2e.triton import Door, text

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs/adding-a-model.md"
GPU, CPU = "kind: KIND_GPU count: 1 gpus: [ 0 ]", "kind: KIND_CPU count: 1"


def code() -> dict[str, str]:
    """The page's code by file: a block's first line names it."""
    blocks = re.findall(r"^```\w*\n# (\S+)\n(.*?)^```$", PAGE.read_text(), re.DOTALL | re.MULTILINE)
    return {file: content.strip() + "\n" for file, content in blocks}


@pytest.fixture(scope="module")
def copy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The services and the model repository, with the toy added as the page says."""
    root = tmp_path_factory.mktemp("copy")
    for folder in ("services", "model_repository"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    files = code()
    registration, entry = files.pop("services/registry.py").split("\n\n")
    registry = root / "services/registry.py"
    lines = registry.read_text().splitlines()
    imports = max(number for number, line in enumerate(lines) if line.startswith("from services."))
    lines.insert(imports + 1, registration)
    lines.insert(
        1 + next(i for i, line in enumerate(lines) if line.startswith("FAMILIES")), entry.strip("\n")
    )
    registry.write_text("\n".join(lines) + "\n")
    config = files["model_repository/toy/config.pbtxt"]
    assert GPU in config
    files["model_repository/toy/configs/cpu.pbtxt"] = config.replace(GPU, CPU)
    for name, content in files.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return root


@pytest.fixture(scope="module")
def toy(copy: Path, weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Door]:
    """A client of a Triton that serves the toy."""
    repository = copy / "model_repository"
    assert "toy" in [model.name for model in served_models(weights, repository) if model.step_loop]
    port, metrics = choose_ports((0, 0))
    triton = Triton(
        TritonSettings(
            work=tmp_path_factory.mktemp("toy"),
            grpc_port=port,
            metrics_port=metrics,
            models=["toy"],
            weights=weights,
            repository=repository,
            threads=THREADS,
            environment={"PYTHONPATH": str(copy)},
        )
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(copy)  # models import from the folder that Triton was started in, before any other
        triton.start()
    try:
        triton.wait_ready()
        with Door(triton.url) as client:
            yield client
    finally:
        triton.stop()


def tensors(steps: int = 4, **more: np.ndarray) -> dict[str, np.ndarray]:
    source = np.random.default_rng(1).normal(size=(3, 6, 5)).astype(np.float32)
    return {
        "source": source,
        "shift": np.array([2.5], np.float32),
        "seed": np.array([1], np.uint64),
        "steps": np.array([steps], np.int32),
        **more,
    }


def test_the_toy_tells_its_facts_and_answers_a_probe(toy: Door):
    facts = probe(toy.client, "toy", seconds=30)
    assert facts["defaults"] == {"steps": 4, "scheduler": "ddim"}
    assert facts["passes"][0]["work"] == 64, "the step loop measured what a pass of the toy costs"


def test_the_toy_moves_latents_step_by_step(toy: Door):
    request = tensors(steps=5)
    with toy.stream("toy", request) as stream:
        replies = list(stream)
    assert [reply.as_numpy("progress").tolist() for reply in replies] == [[i, 5] for i in range(1, 6)]
    np.testing.assert_allclose(replies[-1].as_numpy("latents"), request["source"] + 2.5, atol=1e-5)


def test_the_toy_tells_what_a_request_costs(toy: Door):
    cost = text({"sheets": [[256, 256], [128, 256]], "steps": 500})
    with toy.stream("toy", {"ask": text("cost"), "cost": cost}) as stream:
        answer = json.loads(stream.reply().as_numpy("facts").tobytes())
    assert answer["evaluations"] == 1 and answer["seconds"] > 0


def test_the_toy_refuses_what_it_cannot_do(toy: Door):
    with toy.stream("toy", tensors(steps=0)) as stream, pytest.raises(InferenceServerException) as refused:
        stream.reply()
    assert str(refused.value.message()).startswith("INVALID_FIELD: steps must be in [1, ")

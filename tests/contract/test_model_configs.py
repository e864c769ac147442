"""The tensor contracts: on a processor the models promise exactly what they promise on a GPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

from orchestrator.api import from_proto
from services.registry import FAMILIES
from services.sam.clips import MOST_SIGHTINGS
from services.sam.service import Sam
from services.text_encoder.service import TextEncoder
from services.vae.service import Vae

REPOSITORY = Path(__file__).parents[2] / "model_repository"
MODELS = sorted(folder.name for folder in REPOSITORY.iterdir() if (folder / "config.pbtxt").is_file())
SERVED: dict[str, Any] = {
    "sam": Sam,
    "text_encoder": TextEncoder,
    "vae": Vae,
    **{name: registered.family for name, registered in FAMILIES.items()},
}
Group = model_config_pb2.ModelInstanceGroup


def read(file: Path) -> model_config_pb2.ModelConfig:
    return text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())


@pytest.fixture(params=MODELS)
def name(request: pytest.FixtureRequest) -> str:
    return request.param


@pytest.fixture
def on_gpu(name: str) -> model_config_pb2.ModelConfig:
    return read(REPOSITORY / name / "config.pbtxt")


@pytest.fixture
def on_cpu(name: str) -> model_config_pb2.ModelConfig:
    return read(REPOSITORY / name / "configs" / "cpu.pbtxt")


def test_a_server_without_a_gpu_fails_loudly_unless_it_was_asked_for(on_gpu, on_cpu):
    """`config.pbtxt` wants a GPU, and says which; only the named profile does without."""
    assert [(group.kind, list(group.gpus)) for group in on_gpu.instance_group] == [(Group.KIND_GPU, [0])]
    assert [(group.kind, list(group.gpus)) for group in on_cpu.instance_group] == [(Group.KIND_CPU, [])]


def test_the_profiles_differ_in_nothing_but_the_kind_of_device(on_gpu, on_cpu):
    for group in (*on_gpu.instance_group, *on_cpu.instance_group):
        group.ClearField("kind")
        group.ClearField("gpus")
    assert on_gpu == on_cpu


def test_a_config_bears_its_folders_name_and_its_folder_a_model(name, on_gpu):
    assert on_gpu.name == name
    assert on_gpu.backend == "python"
    assert (REPOSITORY / name / "1" / "model.py").is_file()


def test_every_tensor_may_be_left_out_and_every_model_can_be_asked(on_gpu):
    """Housekeeping comes without work, so Triton must not insist on any input: the model does."""
    assert all(tensor.optional for tensor in on_gpu.input)
    assert {"ask", "known"} <= {tensor.name for tensor in on_gpu.input}
    assert {"facts", "known"} <= {tensor.name for tensor in on_gpu.output}


def test_text_crosses_as_bytes_of_json_only(on_gpu):
    assert model_config_pb2.TYPE_STRING not in {
        tensor.data_type for tensor in (*on_gpu.input, *on_gpu.output)
    }


def test_a_model_reads_the_inputs_its_config_lists(name, on_gpu):
    listed = {tensor.name for tensor in on_gpu.input}
    assert {*SERVED[name].inputs, "weights", "ask", "known"} == listed


def test_no_model_uses_tritons_response_cache(on_gpu):
    """It repeats a refusal as an empty success; models keep answers themselves."""
    assert not on_gpu.response_cache.enable


def test_a_clip_may_have_as_many_sightings_as_the_model_remembers() -> None:
    assert from_proto.MOST_SIGHTINGS <= MOST_SIGHTINGS

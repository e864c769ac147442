"""The device of a model, and what its process is told about it."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
import torch

from services.runtime.environment import cache_folder, compile_wanted, device_of

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


@pytest.fixture(autouse=True)
def allocator(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"):
        monkeypatch.setenv(name, "")  # is put back afterwards
        monkeypatch.delenv(name)


def arguments(kind: str, *groups: dict, device: int = 0) -> dict[str, str]:
    """What Triton passes to `initialize`."""
    return {
        "model_name": "sam",
        "model_instance_kind": kind,
        "model_instance_device_id": str(device),
        "model_config": json.dumps({"name": "sam", "instance_group": list(groups)}),
    }


def test_a_model_runs_where_triton_placed_it():
    assert device_of(arguments("CPU", {"kind": "KIND_CPU", "count": 1, "gpus": []})) == CPU
    assert device_of(arguments("GPU", {"kind": "KIND_GPU", "count": 1, "gpus": [1]}, device=1)) == GPU


@pytest.mark.parametrize(
    "groups",
    [
        [{"kind": "KIND_CPU", "count": 2, "gpus": []}],
        [{"kind": "KIND_GPU", "count": 1, "gpus": [0, 1]}],
        [{"kind": "KIND_GPU", "count": 1, "gpus": [0]}, {"kind": "KIND_GPU", "count": 1, "gpus": [1]}],
    ],
    ids=["count", "gpus", "groups"],
)
def test_a_model_refuses_to_be_one_of_several_instances(groups: list[dict]):
    with pytest.raises(RuntimeError, match=r"sam means 2 instances in one server.*INTARSIA_TRITON_SAM"):
        device_of(arguments("GPU", *groups))


def test_a_model_on_a_gpu_gets_memory_in_segments_that_can_grow():
    device_of(arguments("CPU"))
    assert "PYTORCH_CUDA_ALLOC_CONF" not in os.environ
    device_of(arguments("GPU"))
    assert os.environ["PYTORCH_CUDA_ALLOC_CONF"] == "expandable_segments:True"


@pytest.mark.parametrize("name", ["PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF"])
def test_the_environment_decides_about_the_allocator_if_it_says_anything(monkeypatch, name):
    monkeypatch.setenv(name, "max_split_size_mb:512")
    device_of(arguments("GPU"))
    assert os.environ.get("PYTORCH_CUDA_ALLOC_CONF", "max_split_size_mb:512") == "max_split_size_mb:512"


@pytest.mark.parametrize(("words", "wanted"), [("", False), ("auto", False), ("on", True), ("off", False)])
def test_networks_are_compiled_if_the_setting_says_so(monkeypatch, words, wanted):
    monkeypatch.setenv("INTARSIA_COMPILE", words)
    assert compile_wanted() == wanted


def test_another_word_for_compiling_is_an_error_that_names_the_setting(monkeypatch):
    monkeypatch.setenv("INTARSIA_COMPILE", "yes")
    with pytest.raises(RuntimeError, match="INTARSIA_COMPILE='yes': must be one of on, off, auto"):
        compile_wanted()


def test_the_cache_is_where_the_environment_says(monkeypatch):
    monkeypatch.setenv("INTARSIA_CACHE", "/data/cache")
    assert cache_folder() == Path("/data/cache")
    monkeypatch.delenv("INTARSIA_CACHE")
    assert cache_folder() is None

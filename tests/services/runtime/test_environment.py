"""The device of a model."""

from __future__ import annotations

import json

import pytest
import torch

from services.runtime.environment import device_of

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


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

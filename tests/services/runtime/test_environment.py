"""The device of a model."""

from __future__ import annotations

import torch

from services.runtime.environment import device_of

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


def test_a_model_runs_where_triton_placed_it():
    assert device_of({"model_instance_kind": "CPU"}) == CPU
    assert device_of({"model_instance_kind": "GPU", "model_instance_device_id": "1"}) == GPU

"""Device and number type of a model."""

from __future__ import annotations

import json

import pytest
import torch

from services.bundles.bundle import BundleError
from services.runtime.environment import device_of, precision_of
from tests.services.bundles.altered import copied

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


def test_a_model_runs_where_triton_placed_it():
    assert device_of({"model_instance_kind": "CPU"}) == CPU
    assert device_of({"model_instance_kind": "GPU", "model_instance_device_id": "1"}) == GPU


@pytest.mark.parametrize(
    ("name", "dtype"), [(None, torch.float16), ("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_a_bundle_may_name_the_number_type_that_its_networks_need_on_a_gpu(ip2p, tmp_path, name, dtype):
    bundle = copied(ip2p, tmp_path)
    notes = {"defaults": {}} if name is None else {"dtype": name}
    (bundle.folder / "intarsia.json").write_text(json.dumps(notes))
    assert precision_of(GPU, bundle) == dtype
    assert precision_of(CPU, bundle) == torch.float32


def test_a_number_type_that_is_not_known_is_an_error(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    (bundle.folder / "intarsia.json").write_text(json.dumps({"dtype": "float8"}))
    with pytest.raises(BundleError, match="its dtype is 'float8', but only float16, bfloat16, float32"):
        precision_of(GPU, bundle)

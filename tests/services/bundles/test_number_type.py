"""The number type of a bundle's networks."""

from __future__ import annotations

import json

import pytest
import torch

from services.bundles.bundle import Bundle, BundleError
from services.text_encoder.service import TextEncoder
from services.vae.service import Vae
from tests.services.bundles.altered import copied

CPU, GPU = torch.device("cpu"), torch.device("cuda", 1)


@pytest.mark.parametrize(
    ("name", "dtype"), [(None, torch.float16), ("bfloat16", torch.bfloat16), ("float32", torch.float32)]
)
def test_a_bundle_may_name_the_number_type_that_its_networks_need_on_a_gpu(ip2p, tmp_path, name, dtype):
    bundle = copied(ip2p, tmp_path)
    notes = {"defaults": {}} if name is None else {"dtype": name}
    (bundle.folder / "intarsia.json").write_text(json.dumps(notes))
    assert bundle.number_type(GPU) == dtype
    assert bundle.number_type(CPU) == torch.float32


def test_a_number_type_that_is_not_known_is_an_error(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    (bundle.folder / "intarsia.json").write_text(json.dumps({"dtype": "float8"}))
    with pytest.raises(BundleError, match="its dtype is 'float8', but only float16, bfloat16, float32"):
        bundle.number_type(GPU)


@pytest.mark.parametrize("service", [TextEncoder, Vae])
def test_bundles_of_equal_weights_each_get_their_own_number_type_on_a_gpu(
    ip2p, tmp_path, monkeypatch, service
):
    half, bfloat, loaded = copied(ip2p, tmp_path / "half"), copied(ip2p, tmp_path / "bfloat"), []
    (bfloat.folder / "intarsia.json").write_text(json.dumps({"dtype": "bfloat16"}))
    for bundle in (half, bfloat):
        config = bundle.folder / "vae/config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), "force_upcast": False}))
    load = Bundle.network

    def network(bundle, component, *, device, dtype):
        loaded.append((device, dtype))
        return load(bundle, component, device=CPU, dtype=torch.float32)

    monkeypatch.setattr(Bundle, "network", network)
    service([half, bfloat, half], GPU)
    assert loaded == [(GPU, torch.float16), (GPU, torch.bfloat16)]

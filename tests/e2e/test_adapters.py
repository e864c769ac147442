"""Adapters behind a real Triton: sent once, and used by exactly the requests that name them."""

from __future__ import annotations

import hashlib
import json
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerException

from tests.e2e.triton import TritonClient, edit_tensors, fill_tensors, text

FAMILIES = [("ip2p_unet", "ip2p", edit_tensors), ("sd2_inpaint", "sd2_inpaint", fill_tensors)]


@pytest.fixture(scope="module", params=FAMILIES, ids=["edit", "fill"])
def family(request, weights):
    """A model, how it is asked, and its network."""
    from services.bundles.bundle import Bundle

    model, bundle, tensors = request.param
    opened = Bundle.open(weights / bundle)
    width = opened.config("unet")["cross_attention_dim"]
    return model, lambda **more: tensors(width, **more), opened.network("unet")


def files(network, seed: int) -> list[np.ndarray]:
    """A LoRA, and some of the network's own weights, not seen by the server before."""
    from training.tiny.adapters import file, lora, own_weights

    return [lora(network, seed, layout="kohya").numpy(), file(own_weights(network, seed=seed)).numpy()]


def brought(models: TritonClient, model: str, content: np.ndarray) -> dict:
    with models.stream(model, {"ask": text("adapter"), "adapter": content}) as stream:
        return json.loads(stream.reply().as_numpy("facts").tobytes())


def wearing(*worn: tuple[str, float]) -> np.ndarray:
    return text([{"key": key, "strength": strength} for key, strength in worn])


def made(models: TritonClient, model: str, asked: dict) -> np.ndarray:
    with models.stream(model, {**asked, "reproducible": np.array([1], np.uint8)}) as stream:
        return list(stream)[-1].as_numpy("latents")


def test_an_adapter_is_sent_once_and_then_named_by_its_digest(models: TritonClient, family):
    model, tensors, network = family
    content, _ = files(network, 11)
    base, kept = made(models, model, tensors()), models.facts(model)["adapters"]["count"]
    found = brought(models, model, content)
    assert (found["kind"], found["layout"], found["rank"]) == ("lora", "kohya", 2)
    assert found["weights"] == models.facts(model)["weights"] and found["unexpected_count"] == 0
    assert models.facts(model)["adapters"]["count"] == kept + 1
    changed = made(models, model, tensors(adapters=wearing((found["key"], 1.0))))
    assert np.abs(changed - base).max() > 0.01
    assert made(models, model, tensors()).tobytes() == base.tobytes()
    assert made(models, model, tensors(adapters=wearing((found["key"], 0.0)))).tobytes() == base.tobytes()


def test_an_unknown_adapter_is_refused_until_it_is_sent(models: TritonClient, family):
    model, tensors, network = family
    _, content = files(network, 12)
    key = hashlib.sha256(content).hexdigest()
    asked = tensors(adapters=wearing((key, 1.0)))
    with pytest.raises(InferenceServerException, match=f"UNKNOWN_ADAPTER: adapter {key} is not loaded here"):
        made(models, model, asked)
    assert brought(models, model, content)["kind"] == "weights"
    assert np.isfinite(made(models, model, asked)).all()


def test_two_adapters_and_the_base_at_random_give_the_results_of_each_alone(models: TritonClient, family):
    model, tensors, network = family
    one, two = (brought(models, model, content)["key"] for content in files(network, 13))
    wishes = [(), ((one, 1.0),), ((two, 0.7),), ((one, 0.5), (two, -0.5))]
    rng = random.Random(5)
    asked = [tensors(seed=seed % 4, steps=6, adapters=wearing(*rng.choice(wishes))) for seed in range(24)]
    with ThreadPoolExecutor(6) as clients:
        together = list(clients.map(lambda one: made(models, model, one), asked))
    for told, found in zip(asked, together, strict=True):
        assert found.tobytes() == made(models, model, told).tobytes()


@pytest.mark.parametrize(
    ("tensors", "complaint"),
    [
        ({}, "adapter must come with ask"),
        ({"adapter": np.zeros(0, np.uint8)}, "adapter is not a whole safetensors file"),
        (
            {"adapter": np.frombuffer(b"\x80\x04K\x01." * 99, np.uint8)},
            "adapter is not a whole safetensors file",
        ),
    ],
    ids=["nothing", "empty", "a pickle"],
)
def test_a_file_that_is_no_adapter_is_refused(models: TritonClient, family, tensors, complaint):
    model, _, _ = family
    with models.stream(model, {"ask": text("adapter"), **tensors}) as stream:
        with pytest.raises(InferenceServerException, match=f"INVALID_FIELD: {complaint}"):
            stream.reply()

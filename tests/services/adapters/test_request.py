"""Adapters from the request to the latents, in both families that take them."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor

from services import json_text
from services.adapters.cache import AdapterCache, AdapterUse
from services.adapters.request import read_uses
from services.bundles.bundle import Bundle
from services.denoising.engine import Engine
from services.ip2p_unet.family import InstructPix2Pix
from services.refusal import Refusal
from services.sd2_inpaint.family import Inpaint
from tests.services.calls import tensors
from tests.services.denoising.doubles import Listener, Notes, engine, run_to_the_end
from training.tiny.adapters import file, lora, own_weights

CPU = torch.device("cpu")
A, B, C, D, E = (letter * 64 for letter in "abcde")


@pytest.fixture(scope="module", params=[InstructPix2Pix, Inpaint], ids=["edit", "fill"])
def family(request, weights):
    name = {InstructPix2Pix: "ip2p", Inpaint: "sd2_inpaint"}[request.param]
    return request.param(Bundle.open(weights / name), CPU, torch.float32)


@pytest.fixture(scope="module")
def adapters(family):
    """A LoRA and own weights."""
    return [
        family.adapter(content) for content in (lora(family.network, 1), file(own_weights(family.network)))
    ]


def asked(seed: int, *uses: tuple[str, float], steps: int = 4, side: int = 6, pinned: bool = False) -> dict:
    """A request's tensors; an edit hears nothing of the hole."""
    generator = torch.Generator().manual_seed(seed + 1000)
    return tensors(
        source=torch.randn(4, side, side, generator=generator),
        hole=torch.randint(0, 2, (1, side, side), generator=generator).float(),
        text=torch.randn(5, 32, generator=generator),
        no_text=torch.randn(5, 32, generator=generator),
        seed=torch.tensor([seed]),
        steps=torch.tensor([steps]),
        reproducible=torch.tensor([int(pinned)]),
        adapters=json_text.to_tensor([{"key": key, "strength": strength} for key, strength in uses]),
    )


def loop_with(family, adapters, **more) -> Engine:
    cache = AdapterCache(family.network, 1 << 30)
    for adapter in adapters:
        cache.add(adapter)
    return engine(family, adapters=cache, **more)


def made(loop: Engine, family, told: dict) -> Tensor:
    subscriber = Listener()
    loop.admit(family.request(told), subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None
    return subscriber.latents


@pytest.mark.parametrize("pinned", [True, False], ids=["reproducible", "shared"])
def test_two_adapters_and_the_base_mixed_at_random_give_what_each_gives_alone(family, adapters, pinned):
    generator, notes = random.Random(4), Notes()
    one, two = (adapter.key for adapter in adapters)
    wishes = [(), ((one, 1.0),), ((two, 1.0),), ((one, 0.5), (two, -0.5))]
    loop, crowd = loop_with(family, adapters, best_rows=9, meter=notes), []
    for seed in range(16):
        told = asked(seed, *generator.choice(wishes), steps=generator.randint(2, 5), pinned=pinned)
        crowd.append((told, Listener()))
        loop.admit(family.request(told), crowd[-1][1])
        for _ in range(generator.randint(0, 2)):
            loop.step()
    run_to_the_end(loop)
    for told, subscriber in crowd:
        alone = made(loop_with(family, adapters), family, told)
        assert subscriber.latents is not None
        if pinned:
            assert torch.equal(subscriber.latents, alone)
        torch.testing.assert_close(subscriber.latents, alone, rtol=1e-3, atol=1e-3)
    assert pinned or max(trajectories for _, trajectories in notes.passes) > 1


def test_adapters_in_use_change_the_picture_and_others_do_not(family, adapters):
    loop = loop_with(family, adapters)
    one, two = (adapter.key for adapter in adapters)
    base = made(engine(family), family, asked(1))
    pictures = [made(loop, family, asked(1, *uses)) for uses in ([(one, 1.0)], [(two, 1.0)], [(one, 0.5)])]
    assert all((picture - base).abs().max() > 0.01 for picture in pictures)
    assert (pictures[0] - pictures[2]).abs().max() > 0.01
    assert torch.equal(made(loop, family, asked(1)), base)
    assert torch.equal(made(loop, family, asked(1, (one, 0.0), (two, -0.0))), base)


def test_the_order_in_which_adapters_are_named_does_not_matter(family, adapters):
    one, two = ((adapter.key, 0.5) for adapter in adapters)
    requests = [family.request(asked(1, *uses)) for uses in ([one, two], [two, one])]
    assert requests[0].adapters == requests[1].adapters and len(requests[0].adapters) == 2


def test_the_refusal_of_an_adapter_says_what_is_wrong_with_it(family):
    for content, words in (
        (lora(family.network)[:-1], "INVALID_FIELD: adapter is not a whole safetensors file"),
        (file({"x": torch.ones(1)}), "INVALID_FIELD: adapter holds nothing for this network"),
    ):
        with pytest.raises(Refusal, match=words):
            family.adapter(content)


def test_a_request_for_an_adapter_that_is_not_loaded_is_refused(family):
    with pytest.raises(Refusal, match="UNKNOWN_ADAPTER"):
        engine(family).admit(family.request(asked(1, (A, 1.0))), Listener())


def test_facts_say_how_full_the_adapter_cache_is(family, adapters):
    size = sum(adapter.nbytes for adapter in adapters)
    told = loop_with(family, adapters).facts()["adapters"]
    assert told == {"count": 2, "bytes": size, "budget_bytes": 1 << 30}


def test_adapters_are_passed_on():
    said = [{"key": B, "strength": 2}, {"key": A}, {"key": C, "strength": 0}, {"key": D, "strength": -4.0}]
    found = read_uses({"adapters": json_text.to_tensor(said)})
    assert found == (AdapterUse(A, 1.0), AdapterUse(B, 2.0), AdapterUse(D, -4.0))
    assert read_uses({}) == read_uses({"adapters": json_text.to_tensor([])}) == ()


@pytest.mark.parametrize(
    ("said", "complaint"),
    [
        ({"key": A}, "adapters must be a JSON list of at most 4"),
        ([{"key": key} for key in (A, B, C, D, E)], "adapters must be a JSON list of at most 4"),
        ([{"key": A}, {"key": A, "strength": 0.5}], "adapters name the same key twice"),
        ([A], r"adapters\[0\] must be a JSON object with \"key\""),
        ([{"key": A}, {"strength": 1}], r"adapters\[1\] must be a JSON object"),
        ([{"key": A, "weight": 1}], r"adapters\[0\] must be a JSON object"),
        ([{"key": 7}], r"adapters\[0\].key must be the SHA-256 of the adapter's file, 64"),
        ([{"key": "A" * 64}], r"adapters\[0\].key must be"),
        ([{"key": A + "\n"}], r"adapters\[0\].key must be"),
        ([{"key": A, "strength": 4.1}], r"adapters\[0\].strength must be a number in \[-4, 4\]"),
        ([{"key": A, "strength": float("nan")}], r"adapters\[0\].strength must be"),
        ([{"key": A, "strength": float("-inf")}], r"adapters\[0\].strength must be"),
        ([{"key": A, "strength": 10**400}], r"adapters\[0\].strength must be"),
        ([{"key": A, "strength": True}], r"adapters\[0\].strength must be"),
        ([{"key": A, "strength": None}], r"adapters\[0\].strength must be"),
        ([{"key": A, "strength": "1"}], r"adapters\[0\].strength must be"),
    ],
)
def test_a_wrong_wish_is_named_with_the_remedy(said, complaint):
    with pytest.raises(Refusal, match=f"INVALID_FIELD: {complaint}"):
        read_uses({"adapters": json_text.to_tensor(said)})


JSON = some.recursive(
    some.none() | some.booleans() | some.integers() | some.floats() | some.text(max_size=5) | some.just(A),
    lambda inner: (
        some.lists(inner, max_size=5)
        | some.dictionaries(some.sampled_from(["key", "strength", "x"]), inner, max_size=3)
    ),
    max_leaves=8,
)


@given(JSON | some.lists(some.fixed_dictionaries({"key": some.just(A) | JSON, "strength": JSON}), max_size=5))
def test_any_text_gets_a_reply(said):
    try:
        found = read_uses({"adapters": json_text.to_tensor(said)})
    except Refusal as refusal:
        assert refusal.reason == "INVALID_FIELD"
    else:
        assert all(one.strength and -4 <= one.strength <= 4 for one in found)

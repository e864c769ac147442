"""A UNet in the step loop with graphs, beside one without: requests alone and in company, with and without
adapters."""

from __future__ import annotations

from dataclasses import replace
from functools import partial

import pytest
import torch
from torch import Tensor

from services.acceleration.graphed_passes import GraphedPasses
from services.adapters.cache import AdapterCache, AdapterUse
from services.denoising.costs import Costs, Measured
from services.denoising.engine import Engine, EngineLimits
from services.denoising.family import Request
from services.ip2p_unet.family import InstructPix2Pix
from services.unet.family import call_unet
from tests.services.acceleration.doubles import TapeRecorder
from tests.services.denoising.doubles import Listener, Notes, run_to_the_end

SHARING = Costs((Measured(64, {rows: 1.0 + rows / 1000 for rows in range(1, 25)}, 1 << 20),))
WIDE = Costs((Measured(64, {1: 1.0, 24: 1.0}, 1 << 28),))


class Warmth:
    """An adapter of the UNet's first layer."""

    key, nbytes = "a" * 64, 100
    report = {"key": key}  # noqa: RUF012
    deltas = {"conv_in": [lambda layer, seen: layer.forward(seen.flip(1)) * 0.5]}  # noqa: RUF012


class Loop:
    """A step loop over a UNet, which records its passes if it has graphs."""

    def __init__(self, bundle, *, graphs: bool, costs: Costs = SHARING, memory: int = 1 << 32) -> None:
        self.family = InstructPix2Pix(bundle, torch.device("cpu"), torch.float32)
        self.recorder = TapeRecorder()
        if graphs:
            self.family.passes = GraphedPasses(partial(call_unet, self.family.network), self.recorder)
        adapters = AdapterCache(self.family.network, 1000)
        adapters.add(Warmth())
        limits = EngineLimits(memory=memory, graphs=memory // 4)
        self.engine = Engine(self.family, costs, limits, Notes(), adapters, self.family.passes)

    def admit(self, request: Request) -> Listener:
        listener = Listener()
        self.engine.admit(request, listener)
        return listener

    def run(self, *requests: Request) -> list[Tensor]:
        listeners = [self.admit(request) for request in requests]
        run_to_the_end(self.engine)
        assert all(listener.refusal is None for listener in listeners)
        return [listener.latents for listener in listeners]


def request(
    family: InstructPix2Pix,
    seed: int,
    *,
    size: tuple[int, int] = (8, 8),
    steps: int = 6,
    reproducible: bool = False,
    adapted: bool = False,
) -> Request:
    draws = torch.Generator().manual_seed(seed)
    tensors = {
        "source": torch.randn(4, *size, generator=draws),
        "text": torch.randn(7, family._limits.text_width, generator=draws),
        "no_text": torch.zeros(7, family._limits.text_width),
        "seed": torch.tensor([seed]),
        "steps": torch.tensor([steps]),
        "reproducible": torch.tensor([int(reproducible)]),
    }
    made = family.request(tensors)
    return replace(made, adapters=(AdapterUse(Warmth.key, 1.0),)) if adapted else made


@pytest.fixture(scope="module")
def plain(ip2p) -> Loop:
    return Loop(ip2p, graphs=False)


@pytest.fixture
def graphed(ip2p) -> Loop:
    return Loop(ip2p, graphs=True)


def test_graphs_give_what_the_network_gives_in_any_company(plain, graphed):
    asked = [request(plain.family, seed, size=(8, 8 + 4 * (seed % 2)), steps=8 + seed) for seed in range(5)]
    for got, expected in zip(graphed.run(*asked), plain.run(*asked), strict=True):
        torch.testing.assert_close(got, expected, rtol=0, atol=2e-4)
    facts = graphed.engine.facts()["acceleration"]
    assert facts["path"] == "graphs" and facts["graphs"] >= 2 and facts["replayed"] > 8
    assert plain.engine.facts()["acceleration"] == {"path": "eager"}


def test_a_reproducible_request_has_the_same_bytes_alone_in_company_and_without_graphs(plain, graphed):
    mine = request(plain.family, 7, reproducible=True)
    crowd = [request(plain.family, seed, steps=10) for seed in range(4)]
    graphed.run(*crowd)  # from now on every shape of the crowd, and of mine, is recorded
    assert graphed.recorder.recordings
    beside, alone = graphed.run(mine, *crowd)[0], graphed.run(mine)[0]
    assert torch.equal(beside, alone)
    assert torch.equal(alone, plain.run(mine)[0])


def test_adapters_are_applied_beside_graphs(plain, graphed):
    adapted = [request(plain.family, seed, adapted=True) for seed in (1, 2)]
    bare = [request(plain.family, seed, steps=12) for seed in (1, 2)]
    got = graphed.run(*bare, *adapted, *bare)
    assert graphed.engine.facts()["acceleration"]["replayed"] > 0
    for each, expected in zip(got, plain.run(*bare, *adapted, *bare), strict=True):
        torch.testing.assert_close(each, expected, rtol=0, atol=2e-4)
    assert (got[0] - got[2]).abs().max() > 1e-3


def test_graphs_go_when_requests_need_the_memory(ip2p):
    loop = Loop(ip2p, graphs=True, costs=WIDE, memory=1 << 30)
    first = loop.admit(request(loop.family, 1, steps=20))
    for _ in range(8):
        loop.engine.step()
    assert loop.recorder.recordings
    loop.admit(request(loop.family, 2, size=(5, 17), steps=1))  # its step takes 1020 of 1024 MiB
    loop.engine.step()
    assert not loop.recorder.recordings
    run_to_the_end(loop.engine)
    assert first.latents is not None and loop.recorder.recordings


def test_facts_name_the_path_of_reproducible_requests(graphed):
    assert graphed.family.facts()["path"] == "eager"

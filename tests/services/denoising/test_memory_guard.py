"""Passes that run out of memory, with a network that raises what a GPU raises."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from services.acceleration.graphed_passes import WARM_PASSES, GraphedPasses
from services.denoising.family import BatchRow
from tests.services.acceleration.doubles import TapeRecorder
from tests.services.denoising.doubles import Listener, Sketch, engine, request, run_to_the_end

SHORTAGE = (
    "CUDA out of memory. Tried to allocate 1.50 GiB. GPU 0 has a total capacity of 79.11 GiB of which "
    "1.02 GiB is free."
)


class Narrow(Sketch):
    """A network for which passes of more than so many rows find too little memory."""

    def __init__(self, fits: int) -> None:
        super().__init__()
        self.fits = fits
        self.tried: list[int] = []

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        self.tried.append(len(rows))
        if len(rows) > self.fits:
            raise torch.OutOfMemoryError(SHORTAGE)
        return super().predict(rows)


def denoised(network: Sketch, *asked, **more) -> list[Listener]:
    loop, listeners = engine(network, **more), [Listener() for _ in asked]
    for each, listener in zip(asked, listeners, strict=True):
        loop.admit(each, listener)
    run_to_the_end(loop)
    return listeners


def test_a_shared_pass_is_tried_again_as_one_of_each_request():
    network = Narrow(fits=2)
    asked = [request(seed, steps=3) for seed in range(3)]
    listeners = denoised(network, *asked)
    assert network.tried[:4] == [6, 2, 2, 2]
    for each, listener in zip(asked, listeners, strict=True):
        torch.testing.assert_close(listener.latents, denoised(Sketch(), each)[0].latents, rtol=0, atol=1e-5)


def test_a_pass_of_one_request_is_tried_again_in_halves():
    network = Narrow(fits=2)
    (listener,) = denoised(network, request(branches=4, steps=2))
    assert network.tried == [4, 2, 2, 2, 2]  # and the next step begins with halves
    torch.testing.assert_close(
        listener.latents, denoised(Sketch(), request(branches=4, steps=2))[0].latents, rtol=0, atol=1e-5
    )


def test_after_a_shortage_passes_stay_small_for_a_while():
    network = Narrow(fits=2)
    denoised(network, *(request(seed, steps=40) for seed in range(3)))
    assert network.tried.count(6) == 1
    network = Narrow(fits=2)
    denoised(network, *(request(seed, steps=200) for seed in range(3)))
    assert network.tried.count(6) == 3  # others may hold less by then


def test_a_request_that_does_not_fit_is_refused_with_the_remedy_and_others_survive():
    network = Narrow(fits=2)
    small, large = denoised(network, request(1, branches=2), request(2, branches=8))
    assert small.latents is not None and large.latents is None
    assert large.refusal is not None and large.refusal.reason == "BUSY"
    for words in ("1.50 GiB", "other processes hold", "--working-size", "--candidates", "--seconds"):
        assert words in large.refusal.message


def test_the_last_shortage_of_all_ends_no_loop():
    network = Narrow(fits=0)
    loop, gone, later = engine(network), Listener(), Listener()
    loop.admit(request(1), gone)
    run_to_the_end(loop)
    network.fits = 24
    loop.admit(request(2), later)
    run_to_the_end(loop)
    assert gone.refusal is not None and later.latents is not None


def test_a_reproducible_request_keeps_its_rows():
    class Once(Narrow):
        def predict(self, rows: Sequence[BatchRow]) -> Tensor:
            self.fits = 0 if len(self.tried) == 2 else 24
            return super().predict(rows)

    network = Once(fits=24)
    mine = request(branches=4, reproducible=True)
    (listener,) = denoised(network, mine)
    assert network.tried == [4] * 5
    assert torch.equal(listener.latents, denoised(Sketch(), mine)[0].latents)


@pytest.mark.parametrize("fits", [2, 6])
def test_a_shortage_gives_graphs_back(fits):
    network = Narrow(fits)
    passes = GraphedPasses(lambda rows: rows * 2, TapeRecorder())
    passes.limit(1 << 30)
    for _ in range(WARM_PASSES + 1):
        passes(torch.ones(3, 4))
    assert passes.nbytes
    loop, listeners = engine(network, passes=passes, graphs=1 << 30), [Listener() for _ in range(3)]
    for seed, listener in enumerate(listeners):
        loop.admit(request(seed), listener)
    loop.step()
    assert bool(passes.nbytes) == (fits == 6)

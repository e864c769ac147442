"""The adapter cache, alone and in the step loop."""

from __future__ import annotations

import random
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor

from services.adapters.cache import AdapterCache, AdapterUse
from services.denoising.engine import Engine
from services.refusal import Refusal
from tests.services.denoising.doubles import Listener, Notes, Sketch, Tint, engine, request, run_to_the_end

A, B, C = (Tint(letter) for letter in "abc")


def cache_of(*tints: Tint, budget: int = 250, network: torch.nn.Module | None = None) -> AdapterCache:
    made = AdapterCache(network or Sketch().network, budget)
    for tint in tints:
        made.add(tint)
    return made


def here(looked_in: AdapterCache, *tints: Tint) -> list[bool]:
    return [looked_in.find(tint.key) is not None for tint in tints]


def engine_with(*tints: Tint, **more) -> tuple[Engine, AdapterCache, Sketch]:
    """An engine over a sketch, with these in its adapter cache."""
    sketch = Sketch()
    adapters = cache_of(*tints, budget=1000, network=sketch.network)
    return engine(sketch, adapters=adapters, **more), adapters, sketch


def alone(asked) -> Tensor:
    (loop, *_), subscriber = engine_with(A, B, C), Listener()
    loop.admit(asked, subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None
    return subscriber.latents


def test_the_least_recently_used_is_evicted_first():
    adapters = cache_of(A, B)
    adapters.pin([A.use()])
    adapters.unpin([A.use()])
    adapters.add(C)
    assert here(adapters, A, B, C) == [True, False, True]
    assert adapters.facts() == {"count": 2, "bytes": 200, "budget_bytes": 250}


def test_an_adapter_added_again_counts_as_used_and_takes_no_more_memory():
    adapters = cache_of(A, B, A, C)
    assert here(adapters, A, B, C) == [True, False, True]


def test_a_pinned_adapter_stays_until_the_last_unpin():
    adapters = cache_of(A, B)
    adapters.pin([A.use()])
    adapters.pin([A.use(0.5), B.use()])
    with pytest.raises(Refusal, match="BUSY: no room for this adapter beside those in use; try again later"):
        adapters.add(C)
    adapters.unpin([A.use(0.5), B.use()])
    adapters.add(C)
    assert here(adapters, A, B, C) == [True, False, True]
    adapters.unpin([A.use()])
    adapters.add(B)
    assert here(adapters, A, B, C) == [False, True, True]


def test_an_adapter_larger_than_the_budget_evicts_nothing():
    adapters = cache_of(A, B)
    with pytest.raises(
        Refusal, match="INVALID_FIELD: adapter takes 5 MiB here, but all of them together may"
    ):
        adapters.add(Tint("d", nbytes=5 << 20))
    assert here(adapters, A, B) == [True, True]


def test_all_are_pinned_or_none():
    adapters = cache_of(A, B)
    with pytest.raises(
        Refusal, match=f"UNKNOWN_ADAPTER: adapter {C.key} is not loaded here; send it with ask"
    ):
        adapters.pin([A.use(), C.use()])
    adapters.add(C)
    assert here(adapters, A, B, C) == [False, True, True], "A is not pinned, and was added first"


@given(some.lists(some.tuples(some.sampled_from("kld"), some.sampled_from("abcdef"), some.integers(1, 90))))
def test_the_budget_holds_and_no_pinned_adapter_is_evicted(moves):
    adapters, pinned = cache_of(), []
    for move, letter, size in moves:
        tint = Tint(letter, nbytes=size)
        if move == "k":
            try:
                adapters.add(tint)
            except Refusal as refusal:
                assert refusal.reason == "BUSY" and pinned
            else:
                assert adapters.find(tint.key) is not None
        elif move == "l" and adapters.find(tint.key):
            adapters.pin([tint.use()])
            pinned.append(tint)
        elif move == "d" and pinned:
            adapters.unpin([pinned.pop().use()])
        assert all(here(adapters, *pinned))
        assert adapters.facts()["bytes"] <= adapters.budget_bytes


def test_a_strength_is_how_much_of_it_counts():
    sketch, seen = Sketch(), torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    adapters, base = cache_of(A, B, network=sketch.network), sketch.network(seen)
    whole = {tint: tint.deltas[""][0](None, seen) for tint in (A, B)}
    with adapters.applied([A.use(0.5), B.use(-2.0)]):
        torch.testing.assert_close(sketch.network(seen), base + 0.5 * whole[A] - 2.0 * whole[B])
    assert torch.equal(sketch.network(seen), base)


def test_only_requests_with_the_same_adapters_share_a_pass():
    loop, _, sketch = engine_with(A, B)
    wishes = [(A.use(),), (), (A.use(),), (A.use(0.5),), (A.use(), B.use()), (), (A.use(), B.use())]
    for seed, uses in enumerate(wishes):
        loop.admit(request(seed, steps=1, adapters=uses), Listener())
    run_to_the_end(loop)
    assert sorted(rows.latents.shape[0] for rows in sketch.passes) == [2, 4, 4, 4]


@pytest.mark.parametrize("reproducible", [True, False])
@pytest.mark.parametrize("mix", range(5))
def test_every_picture_in_a_mixed_crowd_is_the_one_made_alone(mix, reproducible):
    generator = random.Random(mix)
    loop, *_ = engine_with(A, B, C, best_rows=6)
    wishes = [(), (A.use(),), (B.use(0.7),), (A.use(-1.0), C.use(2.0))]
    crowd = []
    for seed in range(14):
        asked = request(
            seed,
            steps=generator.randint(1, 6),
            side=generator.choice([3, 4]),
            scheduler=generator.choice(["ddim", "euler_ancestral", "unipc"]),
            reproducible=reproducible and generator.random() < 0.7,
            adapters=generator.choice(wishes),
        )
        crowd.append((asked, Listener()))
        loop.admit(*crowd[-1])
        for _ in range(generator.randint(0, 3)):
            loop.step()
    run_to_the_end(loop)
    for asked, subscriber in crowd:
        assert subscriber.latents is not None
        if asked.reproducible:
            assert torch.equal(subscriber.latents, alone(asked))
        torch.testing.assert_close(subscriber.latents, alone(asked), rtol=0, atol=1e-5)
    assert not torch.equal(alone(request(1)), alone(request(1, adapters=wishes[1])))


def test_a_request_without_adapters_gets_the_bytes_of_an_engine_without_any():
    loop, subscriber = engine(), Listener()
    loop.admit(request(3), subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None and torch.equal(subscriber.latents, alone(request(3)))


def test_an_unknown_adapter_is_reported_at_once_and_nothing_is_pinned():
    notes = Notes()
    loop, adapters, sketch = engine_with(A, meter=notes)
    with pytest.raises(Refusal, match="UNKNOWN_ADAPTER"):
        loop.admit(request(1, adapters=(A.use(), B.use())), Listener())
    assert not loop.step() and not sketch.passes
    adapters.add(B)
    subscriber = Listener()
    loop.admit(request(1, adapters=(A.use(), B.use())), subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None and notes.ends == ["finished"]


@pytest.mark.parametrize("end", ["finished", "cancelled", "expired", "failed", "refused"])
def test_however_a_request_ends_it_gives_back_what_it_wore(end):
    now, notes = [0.0], Notes()
    loop, adapters, sketch = engine_with(A, meter=notes, clock=lambda: now[0], waiting=1)
    subscriber, full = Listener(), Tint("f", nbytes=1000)
    sketch.fails_at = 2 if end == "failed" else -1
    loop.admit(request(steps=3, adapters=(A.use(),)), subscriber, deadline=5.0)
    if end == "refused":
        with pytest.raises(Refusal, match="BUSY"):
            loop.admit(request(steps=3, adapters=(A.use(),)), Listener())
    loop.step()
    with pytest.raises(Refusal, match="BUSY"):
        adapters.add(full)
    subscriber.left, now[0] = end == "cancelled", 9.0 if end == "expired" else 0.0
    run_to_the_end(loop)
    assert end in notes.ends
    adapters.add(full)
    assert here(adapters, A, full) == [False, True]


def test_adapters_come_and_go_while_the_loop_runs():
    loop, adapters, _ = engine_with(A, best_rows=6)
    wanted = {(): alone(request(1)), (A.use(),): alone(request(1, adapters=(A.use(),)))}
    loop.start()
    done = threading.Semaphore(0)

    class Waiter(Listener):
        def finish(self, latents, steps):
            super().finish(latents, steps)
            done.release()

    subscribers: list[tuple[tuple[AdapterUse, ...], Listener]] = []
    for turn in range(30):
        adapters.add(Tint("stuvwxyz"[turn % 8], nbytes=400))
        for uses in wanted:
            subscriber = Waiter()
            try:
                loop.admit(request(1, adapters=uses), subscriber)
            except Refusal as refusal:
                assert refusal.reason == "UNKNOWN_ADAPTER"
                adapters.add(A)
                loop.admit(request(1, adapters=uses), subscriber)
            subscribers.append((uses, subscriber))
    assert all(done.acquire(timeout=60) for _ in subscribers)
    loop.close()
    for uses, subscriber in subscribers:
        assert subscriber.latents is not None
        torch.testing.assert_close(subscriber.latents, wanted[uses], rtol=0, atol=1e-5)

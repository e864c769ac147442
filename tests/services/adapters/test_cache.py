"""Adapters at hand, and in the step loop."""

from __future__ import annotations

import random
import threading

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as some
from torch import Tensor

from services.adapters.cache import Wardrobe, Worn
from services.denoising.engine import Engine
from services.refusal import Refusal
from tests.services.denoising.doubles import Listener, Notes, Sketch, Tint, engine, request, run_to_the_end

A, B, C = (Tint(letter) for letter in "abc")


def wardrobe(*tints: Tint, budget: int = 250, network: torch.nn.Module | None = None) -> Wardrobe:
    made = Wardrobe(network or Sketch().network, budget)
    for tint in tints:
        made.keep(tint)
    return made


def here(looked_in: Wardrobe, *tints: Tint) -> list[bool]:
    return [looked_in.find(tint.key) is not None for tint in tints]


def dressed(*tints: Tint, **more) -> tuple[Engine, Wardrobe, Sketch]:
    """A loop whose sketch has these at hand."""
    sketch = Sketch()
    adapters = wardrobe(*tints, budget=1000, network=sketch.network)
    return engine(sketch, wardrobe=adapters, **more), adapters, sketch


def alone(asked) -> Tensor:
    (loop, *_), asker = dressed(A, B, C), Listener()
    loop.admit(asked, asker)
    run_to_the_end(loop)
    assert asker.latents is not None
    return asker.latents


def test_what_was_worn_longest_ago_leaves_first():
    adapters = wardrobe(A, B)
    adapters.lend([A.worn()])
    adapters.give_back([A.worn()])
    adapters.keep(C)
    assert here(adapters, A, B, C) == [True, False, True]
    assert adapters.facts() == {"count": 2, "bytes": 200, "budget_bytes": 250}


def test_what_is_brought_again_counts_as_new_and_takes_no_more_room():
    adapters = wardrobe(A, B, A, C)
    assert here(adapters, A, B, C) == [True, False, True]


def test_what_is_lent_stays_until_the_last_gives_it_back():
    adapters = wardrobe(A, B)
    adapters.lend([A.worn()])
    adapters.lend([A.worn(0.5), B.worn()])
    with pytest.raises(Refusal, match="BUSY: no room for this adapter beside those in use; try again later"):
        adapters.keep(C)
    adapters.give_back([A.worn(0.5), B.worn()])
    adapters.keep(C)
    assert here(adapters, A, B, C) == [True, False, True]
    adapters.give_back([A.worn()])
    adapters.keep(B)
    assert here(adapters, A, B, C) == [False, True, True]


def test_what_is_larger_than_all_may_be_drives_nobody_out():
    adapters = wardrobe(A, B)
    with pytest.raises(
        Refusal, match="INVALID_FIELD: adapter takes 5 MiB here, but all of them together may"
    ):
        adapters.keep(Tint("d", nbytes=5 << 20))
    assert here(adapters, A, B) == [True, True]


def test_all_or_nothing_is_lent():
    adapters = wardrobe(A, B)
    with pytest.raises(
        Refusal, match=f"UNKNOWN_ADAPTER: adapter {C.key} is not loaded here; send it with ask"
    ):
        adapters.lend([A.worn(), C.worn()])
    adapters.keep(C)
    assert here(adapters, A, B, C) == [False, True, True], "A is lent to nobody, and was brought first"


@given(some.lists(some.tuples(some.sampled_from("kld"), some.sampled_from("abcdef"), some.integers(1, 90))))
def test_the_budget_holds_and_nobody_loses_what_was_lent(moves):
    adapters, lent = wardrobe(), []
    for move, letter, size in moves:
        tint = Tint(letter, nbytes=size)
        if move == "k":
            try:
                adapters.keep(tint)
            except Refusal as refusal:
                assert refusal.reason == "BUSY" and lent
            else:
                assert adapters.find(tint.key) is not None
        elif move == "l" and adapters.find(tint.key):
            adapters.lend([tint.worn()])
            lent.append(tint)
        elif move == "d" and lent:
            adapters.give_back([lent.pop().worn()])
        assert all(here(adapters, *lent))
        assert adapters.facts()["bytes"] <= adapters.budget_bytes


def test_a_strength_is_how_much_of_it_counts():
    sketch, seen = Sketch(), torch.randn(1, 8, 4, 4, generator=torch.Generator().manual_seed(1))
    adapters, base = wardrobe(A, B, network=sketch.network), sketch.network(seen)
    whole = {tint: tint.deltas[""][0](None, seen) for tint in (A, B)}
    with adapters.wearing([A.worn(0.5), B.worn(-2.0)]):
        torch.testing.assert_close(sketch.network(seen), base + 0.5 * whole[A] - 2.0 * whole[B])
    assert torch.equal(sketch.network(seen), base)


def test_requests_that_wear_the_same_share_a_pass_and_no_others_do():
    loop, _, sketch = dressed(A, B)
    wishes = [(A.worn(),), (), (A.worn(),), (A.worn(0.5),), (A.worn(), B.worn()), (), (A.worn(), B.worn())]
    for seed, worn in enumerate(wishes):
        loop.admit(request(seed, steps=1, adapters=worn), Listener())
    run_to_the_end(loop)
    assert sorted(rows.latents.shape[0] for rows in sketch.passes) == [2, 4, 4, 4]


@pytest.mark.parametrize("reproducible", [True, False])
@pytest.mark.parametrize("mix", range(5))
def test_every_picture_in_a_mixed_crowd_is_the_one_made_alone(mix, reproducible):
    dice = random.Random(mix)
    loop, *_ = dressed(A, B, C, best_rows=6)
    wishes = [(), (A.worn(),), (B.worn(0.7),), (A.worn(-1.0), C.worn(2.0))]
    crowd = []
    for seed in range(14):
        asked = request(
            seed,
            steps=dice.randint(1, 6),
            side=dice.choice([3, 4]),
            scheduler=dice.choice(["ddim", "euler_ancestral", "unipc"]),
            reproducible=reproducible and dice.random() < 0.7,
            adapters=dice.choice(wishes),
        )
        crowd.append((asked, Listener()))
        loop.admit(*crowd[-1])
        for _ in range(dice.randint(0, 3)):
            loop.step()
    run_to_the_end(loop)
    for asked, asker in crowd:
        assert asker.latents is not None
        if asked.reproducible:
            assert torch.equal(asker.latents, alone(asked))
        torch.testing.assert_close(asker.latents, alone(asked), rtol=0, atol=1e-5)
    assert not torch.equal(alone(request(1)), alone(request(1, adapters=wishes[1])))


def test_who_wears_nothing_gets_the_bytes_of_a_loop_that_never_saw_an_adapter():
    loop, asker = engine(), Listener()
    loop.admit(request(3), asker)
    run_to_the_end(loop)
    assert asker.latents is not None and torch.equal(asker.latents, alone(request(3)))


def test_an_adapter_that_is_not_here_is_told_at_once_and_nothing_is_held():
    notes = Notes()
    loop, adapters, sketch = dressed(A, meter=notes)
    with pytest.raises(Refusal, match="UNKNOWN_ADAPTER"):
        loop.admit(request(1, adapters=(A.worn(), B.worn())), Listener())
    assert not loop.step() and not sketch.passes
    adapters.keep(B)
    asker = Listener()
    loop.admit(request(1, adapters=(A.worn(), B.worn())), asker)
    run_to_the_end(loop)
    assert asker.latents is not None and notes.ends == ["finished"]


@pytest.mark.parametrize("end", ["finished", "cancelled", "expired", "failed", "refused"])
def test_however_a_request_ends_it_gives_back_what_it_wore(end):
    now, notes = [0.0], Notes()
    loop, adapters, sketch = dressed(A, meter=notes, clock=lambda: now[0], waiting=1)
    asker, full = Listener(), Tint("f", nbytes=1000)
    sketch.fails_at = 2 if end == "failed" else -1
    loop.admit(request(steps=3, adapters=(A.worn(),)), asker, deadline=5.0)
    if end == "refused":
        with pytest.raises(Refusal, match="BUSY"):
            loop.admit(request(steps=3, adapters=(A.worn(),)), Listener())
    loop.step()
    with pytest.raises(Refusal, match="BUSY"):
        adapters.keep(full)
    asker.left, now[0] = end == "cancelled", 9.0 if end == "expired" else 0.0
    run_to_the_end(loop)
    assert end in notes.ends
    adapters.keep(full)
    assert here(adapters, A, full) == [False, True]


def test_adapters_come_and_go_while_the_loop_runs():
    loop, adapters, _ = dressed(A, best_rows=6)
    wanted = {(): alone(request(1)), (A.worn(),): alone(request(1, adapters=(A.worn(),)))}
    loop.start()
    done = threading.Semaphore(0)

    class Waiter(Listener):
        def finish(self, latents, steps):
            super().finish(latents, steps)
            done.release()

    askers: list[tuple[tuple[Worn, ...], Listener]] = []
    for turn in range(30):
        adapters.keep(Tint("stuvwxyz"[turn % 8], nbytes=400))
        for worn in wanted:
            asker = Waiter()
            try:
                loop.admit(request(1, adapters=worn), asker)
            except Refusal as refusal:
                assert refusal.reason == "UNKNOWN_ADAPTER"
                adapters.keep(A)
                loop.admit(request(1, adapters=worn), asker)
            askers.append((worn, asker))
    assert all(done.acquire(timeout=60) for _ in askers)
    loop.close()
    for worn, asker in askers:
        assert asker.latents is not None
        torch.testing.assert_close(asker.latents, wanted[worn], rtol=0, atol=1e-5)

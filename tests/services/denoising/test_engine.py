"""The step loop, stepped by hand: no threads, no clocks but our own."""

from __future__ import annotations

import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.denoising import engine as engine_module
from services.denoising.schedules import DIFFUSION
from services.refusal import Refusal
from tests.services.denoising.doubles import Listener, Notes, Sketch, engine, request, run_to_the_end


def alone(asked) -> torch.Tensor:
    loop, subscriber = engine(), Listener()
    loop.admit(asked, subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None
    return subscriber.latents


def test_every_step_is_reported_and_the_last_with_the_latents():
    loop, subscriber = engine(), Listener()
    loop.admit(request(steps=4), subscriber)
    run_to_the_end(loop)
    assert subscriber.reported == [(1, 4), (2, 4), (3, 4)]
    assert subscriber.latents is not None and subscriber.latents.shape == (4, 4, 4)


def test_requests_at_different_noise_levels_share_a_pass():
    network = Sketch()
    loop, first, second = engine(network), Listener(), Listener()
    loop.admit(request(1, steps=6), first)
    loop.step()
    loop.admit(request(2, steps=3), second)
    loop.step()
    assert network.passes[-1].level.unique().numel() == 2
    assert network.passes[-1].latents.shape[0] == 4


def test_a_request_that_joins_midway_gets_the_picture_it_would_get_alone():
    loop, late = engine(), Listener()
    loop.admit(request(1, steps=8), Listener())
    for _ in range(3):
        loop.step()
    loop.admit(request(2, steps=5), late)
    run_to_the_end(loop)
    torch.testing.assert_close(late.latents, alone(request(2, steps=5)), rtol=0, atol=1e-5)


@settings(max_examples=60, deadline=None)
@given(
    crowd=st.lists(
        st.tuples(
            st.integers(0, 99),
            st.integers(1, 9),
            st.sampled_from([2, 3, 4]),
            st.integers(0, 8),
            st.booleans(),
            st.sampled_from(sorted(DIFFUSION)),
        ),
        max_size=7,
    ),
    leaves=st.sets(st.integers(0, 6), max_size=4),
    at=st.integers(0, 6),
    scheduler=st.sampled_from(["ddim", "euler_ancestral", "ddpm", "unipc"]),
)
def test_a_reproducible_request_gets_the_same_bytes_beside_any_crowd(crowd, leaves, at, scheduler):
    mine = request(7, steps=6, side=3, reproducible=True, scheduler=scheduler)
    loop, subscriber = engine(best_rows=12), Listener()
    others = [Listener() for _ in crowd]
    for turn in range(9):
        if turn == at:
            loop.admit(mine, subscriber)
        for (seed, steps, side, joins, pinned, rule), other in zip(crowd, others, strict=True):
            if joins == turn:
                asked = request(seed, steps=steps, side=side, reproducible=pinned, scheduler=rule)
                loop.admit(asked, other)
        for index in leaves:
            if index < len(others) and turn == index + 1:
                others[index].left = True
        loop.step()
    run_to_the_end(loop)
    assert subscriber.latents is not None
    assert subscriber.latents.numpy().tobytes() == alone(mine).numpy().tobytes()


def test_no_pass_is_larger_than_sharing_pays():
    notes = Notes()
    loop = engine(best_rows=6, meter=notes)
    for seed in range(5):
        loop.admit(request(seed, branches=3), Listener())
    run_to_the_end(loop)
    assert max(rows for rows, _ in notes.passes) == 6
    assert sum(rows for rows, _ in notes.passes) == 5 * 4 * 3


def test_a_request_larger_than_sharing_pays_still_gets_its_pass():
    notes, subscriber = Notes(), Listener()
    loop = engine(best_rows=2, meter=notes)
    loop.admit(request(branches=3), subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None
    assert {rows for rows, _ in notes.passes} == {3}


def test_turns_are_fair_between_sizes():
    """A large picture among many small ones is stepped as often as they are."""
    loop = engine()
    large = Listener()
    loop.admit(request(1, side=8, steps=5), large)
    small = [Listener() for _ in range(6)]
    for seed, subscriber in enumerate(small):
        loop.admit(request(seed, side=4, steps=5), subscriber)
    for _ in range(6):
        loop.step()
    assert len(large.reported) == 3
    assert {len(subscriber.reported) for subscriber in small} == {3}


def test_an_abandoned_request_is_dropped_at_the_next_step():
    network, notes = Sketch(), Notes()
    loop = engine(network, meter=notes)
    stays, leaves = Listener(), Listener()
    loop.admit(request(1, steps=5), stays)
    loop.admit(request(2, steps=5), leaves)
    loop.step()
    leaves.left = True
    loop.step()
    assert network.passes[-1].latents.shape[0] == 2
    assert notes.ends == ["cancelled"]
    assert leaves.refusal is not None and leaves.refusal.reason == "CANCELLED"
    run_to_the_end(loop)
    assert stays.latents is not None


def test_a_request_abandoned_while_it_waits_never_steps():
    network = Sketch()
    loop = engine(network, running=1)
    first, waiting = Listener(), Listener()
    loop.admit(request(1, steps=3), first)
    loop.step()
    loop.admit(request(2), waiting)
    waiting.left = True
    run_to_the_end(loop)
    assert waiting.refusal is not None and waiting.refusal.reason == "CANCELLED"
    assert len(network.passes) == 3


def test_a_deadline_ends_a_request_between_two_steps():
    now = [0.0]
    loop, subscriber = engine(clock=lambda: now[0]), Listener()
    loop.admit(request(steps=10), subscriber, deadline=5.0)
    loop.step()
    now[0] = 5.0
    loop.step()
    assert subscriber.reported == [(1, 10)]
    assert subscriber.refusal is not None and subscriber.refusal.reason == "TIME_LIMIT"


def test_the_device_is_waited_for_once_a_pass_before_any_step_is_reported(monkeypatch):
    log = []

    class Noter(Listener):
        def progress(self, done, of, preview, checkpoint):
            log.append("reported")

        def finish(self, latents, steps):
            log.append("finished")

    monkeypatch.setattr(engine_module, "wait_for", lambda device: log.append(f"waited for {device}"))
    loop = engine()
    for seed in range(3):
        loop.admit(request(seed, steps=2), Noter())
    run_to_the_end(loop)
    assert log == ["waited for cpu", *["reported"] * 3, "waited for cpu", *["finished"] * 3]


def test_the_loop_says_how_long_its_pass_has_been_running():
    now, told = [100.0], []
    network = Sketch()
    loop = engine(network, clock=lambda: now[0])
    predict = network.predict

    def slow(rows):
        now[0] += 7.0
        told.append(loop.now())
        return predict(rows)

    network.predict = slow
    loop.admit(request(steps=1), Listener())
    assert loop.now() == {"running_for": 0.0, "expected": 0.0}
    loop.step()
    assert told[0]["running_for"] == 7.0
    assert told[0]["expected"] == pytest.approx(1.0, rel=0.1)
    assert loop.now()["running_for"] == 0.0


def test_an_urgent_request_leads_the_next_pass_however_full_it_is():
    network = Sketch()
    loop, probe = engine(network, running=2, waiting=2), Listener()
    for seed in range(2):
        loop.admit(request(seed), Listener())
    loop.step()
    for seed in range(2, 4):
        loop.admit(request(seed), Listener())
    loop.admit(request(9, steps=1, side=2), probe, urgent=True)
    loop.step()
    assert probe.latents is not None
    assert network.passes[-1].latents.shape[-1] == 2


def test_previews_come_every_so_many_steps_and_approach_the_result():
    loop, subscriber = engine(), Listener()
    loop.admit(request(steps=9, preview_every=2), subscriber)
    run_to_the_end(loop)
    assert len(subscriber.previews) == 4
    assert subscriber.latents is not None
    first, last = (
        (preview - subscriber.latents).abs().mean()
        for preview in (subscriber.previews[0], subscriber.previews[-1])
    )
    assert last < first


@pytest.mark.parametrize("scheduler", DIFFUSION)
def test_every_schedule_has_previews(scheduler):
    loop, subscriber = engine(), Listener()
    loop.admit(request(steps=5, preview_every=1, scheduler=scheduler), subscriber)
    run_to_the_end(loop)
    assert len(subscriber.previews) == (5 if scheduler == "pndm" else 4)  # which takes one step more
    assert all(bool(torch.isfinite(preview).all()) for preview in subscriber.previews)


def test_closing_finishes_what_was_admitted_and_admits_no_more():
    loop, subscriber = engine(), Listener()
    loop.admit(request(steps=50), subscriber)
    loop.start()
    loop.close()
    assert subscriber.latents is not None
    with pytest.raises(Refusal, match="MODEL_DOWN"):
        loop.admit(request(), Listener())


def test_the_thread_serves_requests_that_come_while_it_runs():
    loop = engine()
    loop.start()
    done = threading.Event()

    class Waiter(Listener):
        def finish(self, latents, steps):
            super().finish(latents, steps)
            done.set()

    for seed in range(3):
        subscriber = Waiter()
        loop.admit(request(seed), subscriber)
        assert done.wait(20)
        done.clear()
        assert subscriber.latents is not None
    loop.close()

"""The step loop, stepped by hand: no threads, no clocks but our own."""

from __future__ import annotations

import itertools
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from services.denoising import engine as engine_module
from services.denoising import pass_planner
from services.denoising.guide import WeightedSum
from services.denoising.memory_budget import state_bytes
from services.denoising.schedules import DIFFUSION
from services.denoising.trajectory import Trajectory
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


def test_a_failing_pass_ends_the_requests_in_it_and_no_others():
    network = Sketch()
    network.fails_at = 2
    loop = engine(network, best_rows=2)
    subscribers = [Listener() for _ in range(3)]
    for seed, subscriber in enumerate(subscribers):
        loop.admit(request(seed), subscriber)
    run_to_the_end(loop)
    assert [subscriber.refusal is None for subscriber in subscribers] == [True, False, True]
    assert subscribers[1].refusal is not None and subscribers[1].refusal.reason == "INTERNAL"


def test_the_message_of_a_fault_holds_no_internals():
    network, subscriber = Sketch(), Listener()
    network.fails_at = 1
    loop = engine(network)
    loop.admit(request(), subscriber)
    run_to_the_end(loop)
    assert subscriber.refusal is not None and "fell over" not in subscriber.refusal.message


def test_a_fault_in_one_trajectorys_own_step_does_not_affect_others(monkeypatch):
    advance = Trajectory.advance

    def stumbling(self, answers):
        if self.request.seed == 1 and self.done == 2:
            raise IndexError("beyond the last level")
        advance(self, answers)

    monkeypatch.setattr(Trajectory, "advance", stumbling)
    loop, stumbles, beside = engine(), Listener(), Listener()
    loop.admit(request(1), stumbles)
    loop.admit(request(2), beside)
    run_to_the_end(loop)
    assert stumbles.refusal is not None and stumbles.refusal.reason == "INTERNAL"
    assert beside.latents is not None


@pytest.mark.parametrize("method", ["gone", "progress", "finish", "refuse"])
def test_a_subscriber_that_fails_affects_neither_the_loop_nor_other_requests(method):
    class Broken(Listener):
        pass

    def fail(self, *_):
        raise ValueError("no answer can be built")

    setattr(Broken, method, fail)
    loop, beside, later = engine(), Listener(), Listener()
    loop.admit(request(1), Broken(), deadline=0.0 if method == "refuse" else float("inf"))
    loop.admit(request(2), beside)
    run_to_the_end(loop)
    loop.admit(request(3), later)
    run_to_the_end(loop)
    assert beside.latents is not None and later.latents is not None


def test_a_failure_of_the_loop_itself_refuses_all_requests_and_the_loop_goes_on(monkeypatch):
    told = threading.Event()

    class Waiter(Listener):
        def finish(self, latents, steps):
            super().finish(latents, steps)
            told.set()

        def refuse(self, refusal):
            super().refuse(refusal)
            told.set()

    loop, first, second = engine(), Waiter(), Waiter()
    with monkeypatch.context() as patch:
        patch.setattr(pass_planner, "next_batch", lambda *_: 1 / 0)
        loop.start()
        loop.admit(request(1), first)
        assert told.wait(20)
    assert first.refusal is not None and first.refusal.reason == "INTERNAL"
    told.clear()
    loop.admit(request(2), second)
    assert told.wait(20)
    assert second.latents is not None
    loop.close()


@pytest.mark.parametrize("method", ["under_way", "stepped", "ended"])
def test_a_meter_that_fails_ends_no_request_and_keeps_no_memory(method):
    def fail(*_):
        raise OSError("no metrics today")

    notes, large = Notes(), request(1)
    setattr(notes, method, fail)
    loop = engine(memory=(2 << 20) + state_bytes(large) * 3 // 2, meter=notes)  # one at a time
    leaves, late, stays = Listener(), Listener(), Listener()
    loop.admit(large, leaves)
    loop.step()
    leaves.left = True
    loop.step()
    loop.admit(large, late, deadline=0.0)
    loop.step()
    loop.admit(large, stays)
    with pytest.raises(Refusal, match="BUSY"):
        loop.admit(large, Listener())
    run_to_the_end(loop)
    assert [each.refusal.reason for each in (leaves, late) if each.refusal] == ["CANCELLED", "TIME_LIMIT"]
    assert stays.latents is not None
    loop.admit(large, Listener())


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


def test_a_request_whose_steps_take_too_long_is_refused():
    loop = engine(step_seconds=2.0)
    loop.admit(request(side=4), Listener())  # about a second, as measured at 4 x 4
    with pytest.raises(
        Refusal, match=r"INVALID_FIELD: source of 8 x 8 latents would take about \d+ s a step"
    ):
        loop.admit(request(side=8), Listener())


def test_only_a_few_urgent_requests_are_admitted_at_a_time():
    loop, probes = engine(), [Listener() for _ in range(9)]
    for probe in probes[:8]:
        loop.admit(request(9, steps=1), probe, urgent=True)
    with pytest.raises(Refusal, match="BUSY"):
        loop.admit(request(9, steps=1), probes[8], urgent=True)
    run_to_the_end(loop)
    loop.admit(request(9, steps=1), probes[8], urgent=True)
    run_to_the_end(loop)
    assert all(probe.latents is not None for probe in probes)


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


def test_predictions_that_are_not_finite_are_an_error_not_a_picture():
    loop, subscriber = engine(), Listener()
    asked = request()
    object.__setattr__(asked, "guide", WeightedSum((float("inf"), 0.5)))
    loop.admit(asked, subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is None
    assert subscriber.refusal is not None and "finite" in subscriber.refusal.message


def test_beyond_the_memory_limit_requests_are_refused_until_others_end():
    asked = request(1)
    one_pass, one_and_a_half = 2 << 20, state_bytes(asked) * 3 // 2
    notes, first, second = Notes(), Listener(), Listener()
    loop = engine(memory=one_pass + one_and_a_half, meter=notes)
    loop.admit(asked, first)
    with pytest.raises(Refusal, match="BUSY"):
        loop.admit(request(2), second)
    run_to_the_end(loop)
    loop.admit(request(2), second)
    run_to_the_end(loop)
    assert first.latents is not None and second.latents is not None
    assert notes.ends == ["refused", "finished", "finished"]


def test_memory_for_the_largest_pass_stays_free():
    large, small = request(1, side=8, steps=2), request(2, side=2)
    loop = engine(memory=1 << 40)
    step, held = loop.costs.step_bytes(large), state_bytes(large)
    assert loop.costs.step_bytes(small) < step
    loop = engine(memory=step + held + state_bytes(small) // 2)
    loop.admit(large, Listener())
    with pytest.raises(Refusal, match="BUSY"):
        loop.admit(small, Listener())
    run_to_the_end(loop)
    loop.admit(small, Listener())


def test_a_request_that_never_fits_is_an_invalid_request():
    loop = engine(memory=3 << 20)
    with pytest.raises(Refusal, match=r"INVALID_FIELD: source .* smaller working size"):
        loop.admit(request(side=64), Listener())


def test_a_full_queue_is_busy_until_a_request_leaves():
    notes = Notes()
    seconds = itertools.count()
    loop = engine(waiting=2, running=1, meter=notes, clock=lambda: float(next(seconds)))
    subscribers = [Listener() for _ in range(4)]
    loop.admit(request(0, steps=3), subscribers[0])
    loop.step()
    loop.admit(request(1), subscribers[1])
    loop.admit(request(2), subscribers[2])
    with pytest.raises(Refusal, match="BUSY"):
        loop.admit(request(3), subscribers[3])
    assert notes.ends == ["refused"]
    subscribers[1].left = True
    loop.step()
    loop.admit(request(3), subscribers[3])
    run_to_the_end(loop)
    assert subscribers[3].latents is not None


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

"""What a failure in the step loop ends: the requests that it belongs to, and no others."""

from __future__ import annotations

import threading

import pytest

from services.denoising import pass_planner
from services.denoising.guide import WeightedSum
from services.denoising.memory_budget import state_bytes
from services.denoising.trajectory import Trajectory
from services.refusal import Refusal
from tests.services.denoising.doubles import Listener, Notes, Sketch, engine, request, run_to_the_end


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


def test_predictions_that_are_not_finite_are_an_error_not_a_picture():
    loop, subscriber = engine(), Listener()
    asked = request()
    object.__setattr__(asked, "guide", WeightedSum((float("inf"), 0.5)))
    loop.admit(asked, subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is None
    assert subscriber.refusal is not None and "finite" in subscriber.refusal.message

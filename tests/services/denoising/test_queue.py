"""Which requests the step loop admits, by time, memory and how many wait."""

from __future__ import annotations

import itertools

import pytest

from services.denoising.memory_budget import state_bytes
from services.refusal import Refusal
from tests.services.denoising.doubles import Listener, Notes, engine, request, run_to_the_end


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

"""Who does not answer is loaded again; if that does not help, the server is started again."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from deploy.local.ports import choose_ports
from deploy.local.supervisor import Patience, Supervisor
from deploy.local.triton import CannotStart
from tests.deploy.kserve import Scripted, serving

DEAD = "Stub process 'any_0_0' is not healthy."


@contextmanager
def watched(model: Scripted) -> Iterator[tuple[Supervisor, list[str]]]:
    """A supervisor of this model, and the restarts it asked for."""
    restarts: list[str] = []
    with serving(model) as url:
        patience = Patience(between=0.01, answer=0.5, misses=2)
        yield Supervisor(url, ["any"], lambda: restarts.append("restart"), patience), restarts


def test_a_model_that_answers_is_left_alone():
    model = Scripted()
    with watched(model) as (supervisor, restarts):
        supervisor.look()
    assert (model.asked, model.changes, restarts, supervisor.repairs) == (1, [], [], 0)


@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_a_dead_one_is_loaded_again_at_once(decoupled: bool):
    model = Scripted(decoupled, refusal=DEAD)
    with watched(model) as (supervisor, restarts):
        supervisor.look()
        supervisor.look()
    assert (model.changes, restarts, supervisor.repairs) == (["unload", "load"], [], 1)


@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_a_silent_one_is_given_a_second_chance(decoupled: bool):
    model = Scripted(decoupled, silent=True)
    with watched(model) as (supervisor, restarts):
        supervisor.look()
        assert model.changes == []
        supervisor.look()
    assert (model.changes, restarts) == (["unload", "load"], [])


def test_chances_are_counted_anew_after_an_answer():
    model = Scripted(decoupled=True, silent=True)
    with watched(model) as (supervisor, _):
        supervisor.look()
        model.silent = False
        supervisor.look()
        model.silent = True
        supervisor.look()
    assert model.changes == []


def test_one_that_answers_others_is_busy_and_not_stuck():
    model = Scripted(silent=True, answers_others=True)
    with watched(model) as (supervisor, _):
        for _ in range(3):
            supervisor.look()
        assert model.changes == []
        model.answers_others = False
        supervisor.look()
        supervisor.look()
    assert model.changes == ["unload", "load"]


def test_a_stuck_step_loop_is_not_excused_by_those_it_refuses():
    model = Scripted(decoupled=True, silent=True, answers_others=True)
    with watched(model) as (supervisor, _):
        supervisor.look()
        supervisor.look()
    assert model.changes == ["unload", "load"]


def in_step(running_for: float, expected: float) -> str:
    return json.dumps({"step": {"running_for": running_for, "expected": expected}})


@pytest.mark.parametrize(("running_for", "expected"), [(59, 0.1), (290, 30)])
def test_one_in_a_long_step_is_not_stuck(running_for: float, expected: float):
    model = Scripted(decoupled=True, silent=True, facts=in_step(running_for, expected))
    with watched(model) as (supervisor, _):
        for _ in range(3):
            supervisor.look()
    assert model.changes == []


@pytest.mark.parametrize(
    "facts", [in_step(61, 0.1), in_step(310, 30), in_step(0, 0), '{"step": {"running_for": "long"}}', "{}"]
)
def test_one_that_is_silent_without_such_an_excuse_is_loaded_again(facts: str):
    model = Scripted(decoupled=True, silent=True, facts=facts)
    with watched(model) as (supervisor, _):
        supervisor.look()
        supervisor.look()
    assert model.changes == ["unload", "load"]


def test_one_that_loading_does_not_mend_gets_a_new_server():
    model = Scripted(refusal=DEAD, beyond_repair=True)
    with watched(model) as (supervisor, restarts):
        supervisor.look()
    assert (model.changes, restarts) == (["unload", "load"], ["restart"])


def test_a_server_that_is_gone_is_started_again():
    restarts: list[str] = []
    (free,) = choose_ports([0])
    Supervisor(f"127.0.0.1:{free}", ["any"], lambda: restarts.append("restart"), Patience(answer=1)).look()
    assert restarts == ["restart"]


def test_a_server_that_is_late_once_is_left_alone():
    model = Scripted(server_silent=True)
    with watched(model) as (supervisor, restarts):
        supervisor.look()
        model.server_silent = False
        supervisor.look()
        model.server_silent = True
        supervisor.look()
        assert restarts == []
        supervisor.look()
    assert restarts == ["restart"]


def test_a_start_that_fails_is_tried_again():
    (free,) = choose_ports([0])
    stop, tries = threading.Event(), []

    def restart() -> None:
        tries.append("restart")
        if len(tries) == 3:
            stop.set()
        raise CannotStart("no memory now")

    Supervisor(f"127.0.0.1:{free}", ["any"], restart, Patience(between=0.01, answer=1)).run(stop)
    assert len(tries) == 3

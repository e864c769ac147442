"""Who does not answer is loaded again; if that does not help, the server is started again."""

from __future__ import annotations

import json
import threading
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from deploy.local.ports import choose_ports
from deploy.local.stubs import Stubs
from deploy.local.supervisor import ProbeLimits, Supervisor
from deploy.local.triton import StartError
from tests.deploy.kserve import Scripted, serving
from tests.e2e.waiting import until

DEAD = "Stub process 'any_0_0' is not healthy."


@contextmanager
def watched(model: Scripted) -> Iterator[tuple[Supervisor, list[str]]]:
    """A supervisor of this model, and the restarts it asked for."""
    restarts: list[str] = []
    with serving(model) as url:
        limits = ProbeLimits(interval=0.01, timeout=0.5, failures=2)
        restart = partial(restarts.append, "restart")
        yield Supervisor(url, ["any"], restart, limits, key=model.key), restarts


def test_a_model_that_replies_is_not_reloaded():
    model = Scripted()
    with watched(model) as (supervisor, restarts):
        supervisor.check()
    assert (model.asked, model.changes, restarts, supervisor.repairs) == (1, [], [], 0)


@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_a_dead_model_is_reloaded_at_once(decoupled: bool):
    model = Scripted(decoupled, refusal=DEAD)
    with watched(model) as (supervisor, restarts):
        supervisor.check()
        supervisor.check()
    assert (model.changes, restarts, supervisor.repairs) == (["unload", "load"], [], 1)


def test_a_server_that_asks_for_its_key_is_given_it():
    model = Scripted(refusal=DEAD, key="5ecret")
    with watched(model) as (supervisor, restarts):
        supervisor.check()
        supervisor.check()
    assert (model.asked, model.changes, restarts) == (2, ["unload", "load"], [])


@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_a_silent_model_is_probed_twice_before_its_reload(decoupled: bool):
    model = Scripted(decoupled, silent=True)
    with watched(model) as (supervisor, restarts):
        supervisor.check()
        assert model.changes == []
        supervisor.check()
    assert (model.changes, restarts) == (["unload", "load"], [])


def test_failures_are_counted_from_0_after_a_reply():
    model = Scripted(decoupled=True, silent=True)
    with watched(model) as (supervisor, _):
        supervisor.check()
        model.silent = False
        supervisor.check()
        model.silent = True
        supervisor.check()
    assert model.changes == []


def test_a_model_that_replies_to_others_is_busy_and_not_stuck():
    model = Scripted(silent=True, answers_others=True)
    with watched(model) as (supervisor, _):
        for _ in range(3):
            supervisor.check()
        assert model.changes == []
        model.answers_others = False
        for _ in range(4):  # a check says nothing if the whole server replies late, as on a busy machine
            supervisor.check()
    assert model.changes == ["unload", "load"]


def test_a_stuck_step_loop_counts_as_stuck_although_it_refuses_requests():
    model = Scripted(decoupled=True, silent=True, answers_others=True)
    with watched(model) as (supervisor, _):
        supervisor.check()
        supervisor.check()
    assert model.changes == ["unload", "load"]


def in_step(running_for: float, expected: float) -> str:
    return json.dumps({"step": {"running_for": running_for, "expected": expected}})


@pytest.mark.parametrize(("running_for", "expected"), [(59, 0.1), (290, 30)])
def test_a_model_in_a_long_step_is_not_stuck(running_for: float, expected: float):
    model = Scripted(decoupled=True, silent=True, facts=in_step(running_for, expected))
    with watched(model) as (supervisor, _):
        for _ in range(3):
            supervisor.check()
    assert model.changes == []


@pytest.mark.parametrize(
    "facts", [in_step(61, 0.1), in_step(310, 30), in_step(0, 0), '{"step": {"running_for": "long"}}', "{}"]
)
def test_a_silent_model_outside_a_long_step_is_reloaded(facts: str):
    model = Scripted(decoupled=True, silent=True, facts=facts)
    with watched(model) as (supervisor, _):
        supervisor.check()
        supervisor.check()
    assert model.changes == ["unload", "load"]


def test_triton_is_restarted_if_the_reload_does_not_help():
    model = Scripted(refusal=DEAD, beyond_repair=True)
    with watched(model) as (supervisor, restarts):
        supervisor.check()
    assert (model.changes, restarts) == (["unload", "load"], ["restart"])


def test_an_unreachable_server_is_restarted():
    restarts: list[str] = []
    (free,) = choose_ports([0])
    Supervisor(
        f"127.0.0.1:{free}", ["any"], lambda: restarts.append("restart"), ProbeLimits(timeout=1)
    ).check()
    assert restarts == ["restart"]


def test_a_server_that_is_late_once_is_not_restarted():
    model = Scripted(server_silent=True)
    with watched(model) as (supervisor, restarts):
        supervisor.check()
        model.server_silent = False
        supervisor.check()
        model.server_silent = True
        supervisor.check()
        assert restarts == []
        supervisor.check()
    assert restarts == ["restart"]


def test_a_failed_restart_is_tried_again():
    (free,) = choose_ports([0])
    stop, tries = threading.Event(), []

    def restart() -> None:
        tries.append("restart")
        if len(tries) == 3:
            stop.set()
        raise StartError("no memory now")

    Supervisor(f"127.0.0.1:{free}", ["any"], restart, ProbeLimits(interval=0.01, timeout=1)).run(stop)
    assert len(tries) == 3


class Ending(Stubs):
    """Stands for processes that end when a test says so."""

    def __init__(self) -> None:
        super().__init__(lambda: None)
        self.models: list[str] = []

    def ended(self, models: Collection[str]) -> list[str]:
        ended, self.models = self.models, []
        return ended


def test_a_model_whose_process_ended_is_loaded_again_while_a_probe_waits():
    model, stubs = Scripted(decoupled=True, silent=True), Ending()
    with serving(model) as url:
        limits = ProbeLimits(interval=0.01, timeout=5, look=0.01)
        supervisor = Supervisor(url, ["any"], lambda: None, limits, stubs=stubs)
        stop = threading.Event()
        threads = [
            threading.Thread(target=work, args=(stop,)) for work in (supervisor.run, supervisor.run_looks)
        ]
        for thread in threads:
            thread.start()
        until(lambda: model.asked > 0)
        stubs.models = ["any"]
        took = until(lambda: model.changes == ["unload", "load"])
        stop.set()
        for thread in threads:
            thread.join(20)
    assert took < 4, "it does not wait for the probe"
    assert (model.changes, supervisor.repairs) == (["unload", "load"], 1)


def test_a_model_that_was_loaded_again_meanwhile_is_not_loaded_twice():
    model, stubs = Scripted(refusal=DEAD), Ending()
    with serving(model) as url:
        supervisor = Supervisor(url, ["any"], lambda: None, ProbeLimits(timeout=0.5), stubs=stubs)
        asked = supervisor._is_alive

        def is_alive(*arguments) -> bool:
            alive = asked(*arguments)
            stubs.models = ["any"]
            supervisor.look()
            return alive

        supervisor._is_alive = is_alive
        supervisor.check()
    assert model.changes == ["unload", "load"]


def test_a_probe_that_began_during_the_reload_loads_nothing_again():
    model, stubs = Scripted(refusal=DEAD), Ending()
    with serving(model) as url:
        supervisor = Supervisor(url, ["any"], lambda: None, ProbeLimits(timeout=0.5), stubs=stubs)
        reload, asked = supervisor._reload, supervisor._is_alive
        reloading, probed = threading.Event(), threading.Event()

        def reload_in_the_middle_of_a_probe(*arguments) -> bool:
            reloading.set()
            assert probed.wait(20)
            return reload(*arguments)

        def is_alive(*arguments) -> bool:
            alive = asked(*arguments)
            probed.set()
            return alive

        supervisor._reload, supervisor._is_alive = reload_in_the_middle_of_a_probe, is_alive
        stubs.models = ["any"]
        looking = threading.Thread(target=supervisor.look)
        looking.start()
        assert reloading.wait(20)
        supervisor.check()
        looking.join(20)
    assert model.changes == ["unload", "load"]

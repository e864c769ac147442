"""The step loop's metrics, as they reach Triton."""

from __future__ import annotations

import threading
import time

import pytest


@pytest.fixture
def meter(stub):
    from services.runtime.metrics import EngineMeter

    return EngineMeter("some_model")


def test_everything_is_published_before_the_meter_is_closed(stub, meter):
    meter.under_way(2, 1)
    for _ in range(5):
        meter.stepped(6, 2, 0.01)
    meter.ended("finished")
    meter.under_way(1, 0)
    meter.close()
    told: dict[str, list[float]] = {}
    for name, labels, value in stub.MetricFamily.told:
        assert labels["model"] == "some_model"
        told.setdefault(name.removeprefix("intarsia_engine_"), []).append(value)
    assert sum(told["steps"]) == 5 and sum(told["trajectory_steps"]) == 10
    assert told["rows"] == [6] * 5 and told["step_seconds"] == [0.01] * 5
    assert told["ended"] == [1]
    assert (told["running"][-1], told["waiting"][-1]) == (1, 0)
    assert stub.MetricFamily.told[-1][0] == "intarsia_engine_waiting", "levels come last"


def test_no_metric_outlives_the_meter_once_it_is_closed(stub, meter):
    assert stub.MetricFamily.alive
    meter.stepped(6, 2, 0.01)
    meter.ended("finished")
    meter.close()
    assert not stub.MetricFamily.alive


def test_passes_are_published_together_at_the_latest_with_what_is_urgent(stub, meter, monkeypatch):
    from services.runtime import metrics

    monkeypatch.setattr(metrics, "_GATHER_SECONDS", 20.0)
    for _ in range(5):
        meter.stepped(6, 2, 0.01)
    meter.ended("finished")
    meter.close()
    assert [value for name, _, value in stub.MetricFamily.told if name == "intarsia_engine_steps"] == [5]


def test_a_pass_is_published_though_nothing_follows(stub, meter):
    meter.stepped(6, 2, 0.01)
    deadline = time.monotonic() + 20
    while not any(name == "intarsia_engine_step_seconds" for name, _, _ in stub.MetricFamily.told):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    meter.close()


def test_levels_that_did_not_change_are_not_published_again(stub, meter):
    for _ in range(5):
        meter.under_way(3, 0)
    meter.close()
    assert [value for name, _, value in stub.MetricFamily.told if name == "intarsia_engine_running"] == [3]


def test_a_metric_that_fails_is_logged_and_the_next_are_published(stub, meter):
    logged = threading.Event()
    stub.Logger.log_warn = lambda text: logged.set() if "no metrics today" in text else None
    stub.MetricFamily.broken = True
    meter.ended("failed")
    assert logged.wait(20)
    stub.MetricFamily.broken = False
    meter.ended("finished")
    meter.close()
    assert [labels["how"] for _, labels, _ in stub.MetricFamily.told] == ["finished"]

"""One Triton with its supervisor: what is stopped, and in which order."""

from __future__ import annotations

import threading
from pathlib import Path

import pytest

from deploy.local import model_server
from deploy.local.model_server import ModelServer
from deploy.local.supervisor import ProbeLimits
from deploy.local.triton import TritonSettings


@pytest.fixture
def events() -> list[str]:
    return []


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, events: list[str]) -> ModelServer:
    class Triton:
        """Stands for a Triton that writes down when it is stopped."""

        url, key = "127.0.0.1:1", ""

        def __init__(self, settings: TritonSettings) -> None:
            pass

        def stop(self) -> None:
            events.append("Triton stops")

    monkeypatch.setattr(model_server, "Triton", Triton)
    settings = TritonSettings(work=tmp_path, grpc_port=1, metrics_port=2, models=("any",), weights=tmp_path)
    return ModelServer(settings, ProbeLimits(interval=0.01, timeout=20))


def checks_until(ready: threading.Event, server: ModelServer, events: list[str]) -> threading.Event:
    """Lets the supervisor's only check last until `ready`; the event that it has begun."""
    begun = threading.Event()

    def check() -> None:
        begun.set()
        assert ready.wait(20)
        events.append("a check ends")

    server.supervisor.check = check
    return begun


def test_a_check_in_progress_ends_before_triton_is_stopped(server: ModelServer, events: list[str]):
    ready = threading.Event()
    begun = checks_until(ready, server, events)
    server.watch()
    assert begun.wait(20)
    threading.Timer(0.2, ready.set).start()
    server.stop()
    assert events == ["a check ends", "Triton stops"]
    assert server.failed() is None


def test_a_check_that_does_not_end_does_not_keep_triton(
    server: ModelServer, events: list[str], monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(model_server, "_CHECK_SECONDS", 0.05)
    ready = threading.Event()
    begun = checks_until(ready, server, events)
    monkeypatch.setattr(server.triton, "stop", lambda: (events.append("Triton stops"), ready.set()))
    server.watch()
    assert begun.wait(20)
    server.stop()
    assert events == ["Triton stops", "a check ends"]


def test_a_server_that_was_never_watched_stops_at_once(server: ModelServer, events: list[str]):
    server.stop()
    assert events == ["Triton stops"]

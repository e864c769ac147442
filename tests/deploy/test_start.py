"""What keeps a stack from starting is said at once, with the remedy."""

from __future__ import annotations

import os
import signal
import socket
import sys
import sysconfig
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace

import pytest

from deploy.local import __main__ as up
from deploy.local import demo, triton
from deploy.local.ports import PortTaken, choose_ports
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import StartError, TritonSettings

ALL_PROTOCOLS = {
    *("health", "metadata", "inference", "shared-memory", "model-config", "model-repository"),
    *("statistics", "trace", "logging"),
}


@pytest.fixture(autouse=True)
def signals_as_before():
    """`up` takes over Ctrl-C and SIGTERM for the rest of its process."""
    before = {number: signal.getsignal(number) for number in (signal.SIGINT, signal.SIGTERM)}
    yield
    for number, handler in before.items():
        signal.signal(number, handler)


@pytest.fixture
def taken() -> int:
    with socket.create_server(("127.0.0.1", 0)) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("option", ["--port", "--metrics-port", "--triton-port", "--triton-metrics-port"])
def test_a_taken_port_is_named(tmp_path: Path, taken: int, option: str, capsys: pytest.CaptureFixture[str]):
    code = up.main(["--port", "0", "--data", str(tmp_path), "--weights", str(tmp_path), option, str(taken)])
    assert code == 1
    assert f"port {taken} cannot be used: Address already in use; " in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [], "nothing was started"


def test_a_stack_that_ends_unexpectedly_exits_with_1(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    class Ending(nullcontext):
        """Stands for a stack whose orchestrator dies as soon as it serves."""

        address = "127.0.0.1:1"
        metrics_url = "http://127.0.0.1:2/metrics"
        places = ("GPU 0 (pretend): sam", "GPU 1 (pretend): vae")
        keeps = "uploads for 30 days"
        servers = tuple(
            SimpleNamespace(triton=SimpleNamespace(metrics_url=f"http://127.0.0.1:{port}/metrics"))
            for port in (3, 4)
        )

        def __enter__(self) -> Ending:
            return self

        def failed(self) -> str:
            return "the orchestrator ended:\nits last words"

    monkeypatch.setattr(up, "Stack", Ending)
    assert up.main(["--data", str(tmp_path), "--weights", str(tmp_path)]) == 1
    told = capsys.readouterr()
    assert told.out.splitlines() == [
        *Ending.places,
        "serving on 127.0.0.1:1",
        "metrics: http://127.0.0.1:2/metrics and http://127.0.0.1:3/metrics and http://127.0.0.1:4/metrics",
        "keeps uploads for 30 days",
    ]
    assert told.err == "the orchestrator ended:\nits last words\n"


@pytest.mark.parametrize("main", [up.main, demo.main], ids=["up", "demo"])
def test_missing_weights_are_named(main, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    options = ["--data", str(tmp_path), "--weights", str(tmp_path / "nowhere")]
    assert main(options + (["--port", "0"] if main is up.main else [])) == 1
    said = capsys.readouterr().err
    assert f"there are no weights at {tmp_path / 'nowhere'}" in said and "python -m training.tiny" in said


def test_a_stack_uses_the_cores_of_its_affinity_mask(tmp_path: Path):
    allowed = os.sched_getaffinity(0)
    os.sched_setaffinity(0, {min(allowed)})
    try:
        assert StackSettings(data=tmp_path, weights=tmp_path).threads == 1
        assert up.parser().parse_args([]).threads == 1
    finally:
        os.sched_setaffinity(0, allowed)


def test_a_stack_that_is_never_started_leaves_nothing_running(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    started = []
    monkeypatch.setattr(triton, "ChildProcess", lambda command, **_: started.append(command))
    made = Stack(StackSettings(data=tmp_path / "data", weights=tmp_path))
    made.stop()
    assert started == [] and not (tmp_path / "data").exists()
    with pytest.raises(StartError, match="was stopped"):
        made.start()
    assert started == []


def test_chosen_ports_differ_and_keep_the_requested_ones():
    free = choose_ports([0, 0, 0])
    assert len(set(free)) == 3 and all(free)
    first, second, third = choose_ports([0, free[1], 0])
    assert second == free[1] and len({first, second, third}) == 3


@pytest.mark.parametrize("wish", [70000, -1])
def test_an_invalid_port_is_refused(wish: int):
    with pytest.raises(PortTaken, match=f"port {wish} cannot be used"):
        choose_ports([0, wish])


def test_one_port_for_two_is_refused():
    (free,) = choose_ports([0])
    with pytest.raises(PortTaken, match=f"port {free} cannot be used"):
        choose_ports([free, free])


def test_an_interpreter_without_a_shared_library_is_explained(monkeypatch: pytest.MonkeyPatch):
    built = {"INSTSONAME": "libpython3.11.a", "LIBDIR": "/usr/local/lib", "MULTIARCH": "x86_64-linux-gnu"}
    monkeypatch.setattr(sysconfig, "get_config_var", built.get)
    with pytest.raises(StartError) as raised:
        triton._libpython()
    said = str(raised.value)
    assert sys.executable in said and "--enable-shared" in said and "install libpython3." in said


def test_a_shared_library_is_found_where_a_distribution_puts_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    (tmp_path / "libpython3.11.so.1.0").touch()
    built = {"INSTSONAME": "libpython3.11.so.1.0", "LIBDIR": "/nowhere", "LIBPL": str(tmp_path)}
    monkeypatch.setattr(sysconfig, "get_config_var", built.get)
    assert triton._libpython() == tmp_path / "libpython3.11.so.1.0"


@pytest.mark.parametrize("before", [None, "", "/opt/cuda/lib:/opt/more"])
def test_triton_finds_this_python_first_and_then_what_it_found_before(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, before: str | None
):
    given = {}
    monkeypatch.setattr(
        triton, "ChildProcess", lambda command, *, environment, log: given.update(environment)
    )
    if before is None:
        monkeypatch.delenv("LD_LIBRARY_PATH", raising=False)
    else:
        monkeypatch.setenv("LD_LIBRARY_PATH", before)
    settings = TritonSettings(work=tmp_path, grpc_port=1, metrics_port=2, models=(), weights=tmp_path)
    triton.Triton(settings).start()
    own = str(triton._libpython().parent)
    assert given["LD_LIBRARY_PATH"] == (f"{own}:{before}" if before else own)


def test_triton_never_starts_without_a_key_for_what_only_its_owner_may_do(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
):
    commands: list[list[str]] = []
    monkeypatch.setattr(triton, "ChildProcess", lambda command, **_: commands.append(command))
    for number in range(2):
        settings = TritonSettings(tmp_path / str(number), 1, 2, models=("any",), weights=tmp_path)
        triton.Triton(settings).start()
    keys = []
    for number, command in enumerate(commands):
        (option,) = [part for part in command if part.startswith("--grpc-restricted-protocol=")]
        protocols, _, key = option.partition("=")[2].rpartition("=")
        names, _, header = protocols.partition(":")
        assert {*names.split(","), "health", "metadata", "inference"} == ALL_PROTOCOLS
        assert header == "intarsia-key" and len(bytes.fromhex(key)) == 32
        assert key == (tmp_path / str(number) / "key").read_text()
        assert {"--allow-http=false", "--grpc-address=127.0.0.1"} <= set(command)
        keys.append(key)
    assert keys[0] != keys[1]


@pytest.mark.parametrize("in_the_way", ["triton/triton.log/", "triton/backends"])
def test_the_reason_why_triton_cannot_start_is_named(tmp_path: Path, in_the_way: str):
    """Whoever tries to start it again waits for it to go away."""
    place = tmp_path / in_the_way
    place.parent.mkdir()
    place.mkdir() if in_the_way.endswith("/") else place.touch()
    settings = TritonSettings(tmp_path / "triton", grpc_port=1, metrics_port=2, models=(), weights=tmp_path)
    with pytest.raises(StartError, match=place.name):
        triton.Triton(settings).start()


def test_a_python_without_a_stub_is_explained(tmp_path: Path):
    with pytest.raises(StartError, match=r"Triton has no stub for Python 3\.\d+; use 3.11 or 3.12"):
        triton._link_backend(tmp_path, tmp_path / "backends")

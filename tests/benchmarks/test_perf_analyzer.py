"""What perf_analyzer is told, and what is read out of its table."""

from __future__ import annotations

import base64
import json

import numpy as np
import pytest

from benchmarks import libc, perf_analyzer
from benchmarks.perf import sam_requests, unet_requests, vae_requests
from benchmarks.perf_analyzer import PerfAnalyzerError, measure, read, write_input

TABLE = (
    "Concurrency,Inferences/Second,Client Send,Network+Server Send/Recv,Server Queue,Server Compute Input,"
    "Server Compute Infer,Server Compute Output,Client Recv,p50 latency,p90 latency,p95 latency,p99 latency\n"
    "4,12.5,10,200,3,4,5000,6,2,310000,400000,450500,500000\n"
)


def test_a_table_is_read_in_seconds():
    found = read(TABLE)
    assert (found.concurrency, found.per_second) == (4, 12.5)
    assert found.latency == {"p50": 0.31, "p90": 0.4, "p95": 0.4505, "p99": 0.5}


@pytest.mark.parametrize(
    "table",
    [
        "",
        TABLE.splitlines()[0],
        TABLE.replace("p99 latency", "p100 latency"),
        TABLE.replace("310000", "fast"),
    ],
    ids=["empty", "no line", "another column", "no number"],
)
def test_a_table_that_is_not_as_expected_is_refused(table):
    with pytest.raises(PerfAnalyzerError, match="table"):
        read(table)


def test_tensors_are_written_with_bytes_and_shape(tmp_path):
    file = tmp_path / "in.json"
    write_input(file, [{"points": np.array([[1.0, 2.0, 1.0]], np.float32)}])
    (request,) = json.loads(file.read_text())["data"]
    assert request["points"]["shape"] == [1, 3]
    raw = base64.b64decode(request["points"]["content"]["b64"])
    assert np.frombuffer(raw, np.float32).tolist() == [1.0, 2.0, 1.0]


def test_a_run_that_ends_in_an_error_has_no_figures(tmp_path):
    script = tmp_path / "analyzer"
    script.write_text("#!/bin/sh\necho 'error: the model said no'\nexit 99\n")
    script.chmod(0o755)
    with pytest.raises(PerfAnalyzerError, match=r"(?s)99 for sam at 2.*the model said no"):
        measure(
            [str(script)],
            "127.0.0.1:1",
            "sam",
            tmp_path / "in.json",
            concurrency=2,
            streaming=False,
            window=0.1,
            log=tmp_path / "sam.log",
            key="5ecret",
        )


@pytest.mark.parametrize(
    ("streaming", "wanted"),
    [(True, "--measurement-mode count_windows --measurement-request-count 48"), (False, "-interval 2000")],
)
def test_windows_of_streams_end_by_requests_and_others_by_time(tmp_path, streaming, wanted):
    """Eight requests that share passes finish together: a window in time would hold all or none of them."""
    script = tmp_path / "analyzer"
    table = f"cat > {tmp_path}/model.csv <<'END'\n{TABLE}END\n"
    script.write_text(f'#!/bin/sh\necho "$@" > {tmp_path}/arguments\n{table}')
    script.chmod(0o755)
    measure(
        [str(script)],
        "127.0.0.1:1",
        "ip2p_unet",
        tmp_path / "in.json",
        concurrency=8,
        streaming=streaming,
        window=2.0,
        log=tmp_path / "model.log",
        key="5ecret",
    )
    arguments = (tmp_path / "arguments").read_text()
    assert wanted in arguments
    assert "-H triton-grpc-protocol-intarsia-key:5ecret" in arguments


def test_requests_differ_so_that_none_is_answered_from_memory():
    for requests in (sam_requests(1, 8), vae_requests(1, 8), unet_requests(1, 8, width=4, steps=2)):
        bodies = [b"".join(np.ascontiguousarray(v).tobytes() for v in r.values()) for r in requests]
        assert len(set(bodies)) == 8


def test_a_missing_program_is_an_error_that_says_how_to_get_it(tmp_path, monkeypatch):
    monkeypatch.setattr(perf_analyzer, "PROGRAM", tmp_path / "missing")
    with pytest.raises(PerfAnalyzerError, match="make bench-perf"):
        perf_analyzer.command(tmp_path)


@pytest.mark.parametrize(
    ("version", "good"), [("2.36", False), ("2.38", True), ("2.41", True), ("3.0", True), ("", False)]
)
def test_versions_of_the_c_library_are_compared_as_numbers(version, good):
    assert libc.new_enough(version) is good


def test_a_machine_with_a_new_library_needs_no_other(tmp_path, monkeypatch):
    monkeypatch.setattr(libc.platform, "libc_ver", lambda: ("glibc", "2.41"))
    assert libc.prefix(tmp_path) == []


def test_a_library_that_is_there_is_not_fetched_again(tmp_path, monkeypatch):
    monkeypatch.setattr(libc.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(libc, "_run", lambda *_: pytest.fail("something was fetched"))
    loader = tmp_path / libc.LOADER
    loader.parent.mkdir(parents=True)
    loader.touch()
    assert libc.prefix(tmp_path) == [str(loader), "--library-path", str(loader.parent)]


def test_without_apt_the_error_says_what_is_missing(tmp_path, monkeypatch):
    monkeypatch.setattr(libc.platform, "libc_ver", lambda: ("glibc", "2.36"))
    monkeypatch.setattr(libc.shutil, "which", lambda tool: None)
    with pytest.raises(libc.LibcError, match="apt-get, dpkg-deb"):
        libc.prefix(tmp_path / "libc")

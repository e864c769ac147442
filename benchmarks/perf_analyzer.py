"""NVIDIA's perf_analyzer: starting it, telling it what to send, reading what it found.

It counts a gRPC error as the end of the run, and says so; a run that ended that way has no figures.
"""

from __future__ import annotations

import base64
import csv
import json
import os
import subprocess
import sys
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from benchmarks import newer_libc

FOLDER = Path(sys.prefix) / "perf_analyzer"
PROGRAM = FOLDER / "perf_analyzer/bin/perf_analyzer"
_PERCENTILES = ("p50", "p90", "p95", "p99")


class NoAnalyzer(RuntimeError):
    """perf_analyzer cannot run, or could not measure; says why."""


@dataclass(frozen=True)
class Found:
    """What it measured at one concurrency. Latencies are to the last reply, in seconds."""

    concurrency: int
    per_second: float
    latency: Mapping[str, float]


def command(libc: Path) -> list[str]:
    """How to start it on this machine."""
    if not PROGRAM.exists():
        raise NoAnalyzer(f"there is no perf_analyzer at {PROGRAM}: run `make bench-perf`, which installs it")
    try:
        return [*newer_libc.prefix(libc), str(PROGRAM)]
    except newer_libc.NoLibrary as fault:
        raise NoAnalyzer(str(fault)) from fault


def write_input(file: Path, requests: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Requests as it reads them; it sends them in turn, again and again."""
    data = [{name: _tensor(value) for name, value in request.items()} for request in requests]
    file.write_text(json.dumps({"data": data}), encoding="utf-8")


def measure(
    start: list[str],
    url: str,
    model: str,
    data: Path,
    *,
    concurrency: int,
    streaming: bool,
    window: float,
    log: Path,
) -> Found:
    """Keeps so many requests under way for three windows of so many seconds."""
    table = log.with_suffix(".csv")
    table.unlink(missing_ok=True)
    asked = [*start, "-m", model, "-u", url, "-i", "grpc", "--input-data", str(data)]
    asked += ["--concurrency-range", f"{concurrency}:{concurrency}", "-f", str(table)]
    # Three windows, whatever they are like: a noisy machine would keep it measuring for ever.
    asked += ["--measurement-interval", str(round(window * 1000)), "-r", "3", "-s", "999"]
    if streaming:
        asked.append("--streaming")
    # Its own loader must find its own libraries, not those of the Python that starts it.
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    with log.open("w", encoding="utf-8") as sink:
        code = subprocess.run(asked, stdout=sink, stderr=subprocess.STDOUT, env=environment).returncode
    if code or not table.exists():
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        raise NoAnalyzer(f"perf_analyzer ended with {code} for {model} at {concurrency}:\n{last}")
    return read(table.read_text(encoding="utf-8"))


def read(table: str) -> Found:
    """The figures out of its table, which has a line for the one concurrency that was asked for."""
    rows = list(csv.DictReader(table.splitlines()))
    if len(rows) != 1:
        raise NoAnalyzer(f"its table has {len(rows)} lines where one was asked for")
    try:
        row = rows[0]
        latency = {name: float(row[f"{name} latency"]) / 1e6 for name in _PERCENTILES}
        return Found(int(row["Concurrency"]), float(row["Inferences/Second"]), latency)
    except (KeyError, TypeError, ValueError) as fault:
        raise NoAnalyzer(f"its table cannot be read, {fault!r}:\n{table}") from fault


def _tensor(value: np.ndarray) -> dict:
    content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"content": {"b64": content}, "shape": list(value.shape)}

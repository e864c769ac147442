"""Runs NVIDIA's perf_analyzer: writes its input, starts it, reads its results.

It ends a run at the first gRPC error; such a run has no results.
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

from benchmarks.libc import LibcError, prefix
from deploy.local.loopback import KEY_HEADER

FOLDER = Path(sys.prefix) / "perf_analyzer"
PROGRAM = FOLDER / "perf_analyzer/bin/perf_analyzer"
_EACH = 6  # requests of each client in a window, where these are counted
_PERCENTILES = ("p50", "p90", "p95", "p99")


class PerfAnalyzerError(RuntimeError):
    """perf_analyzer cannot run, or its run failed; says why."""


@dataclass(frozen=True)
class Measurement:
    """The results at one concurrency. Latencies are to the last reply, in seconds."""

    concurrency: int
    per_second: float
    latency: Mapping[str, float]


def command(libc: Path) -> list[str]:
    """The command that starts it on this machine; `libc` is the folder for a newer C library."""
    if not PROGRAM.exists():
        raise PerfAnalyzerError(
            f"there is no perf_analyzer at {PROGRAM}: run `make bench-perf`, which installs it"
        )
    try:
        return [*prefix(libc), str(PROGRAM)]
    except LibcError as error:
        raise PerfAnalyzerError(str(error)) from error


def write_input(file: Path, requests: Iterable[Mapping[str, np.ndarray]]) -> None:
    """Writes its input file: requests that it sends in turn, again and again."""
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
    key: str,
) -> Measurement:
    """Keeps so many requests running for three windows of so many seconds.

    `key` is Triton's: without it, it tells neither the model's settings nor its statistics.

    With `streaming`, requests have several replies and may take longer than a window, which then ends when
    enough of them have finished: of requests that finish together a window in time holds all or none.
    """
    table = log.with_suffix(".csv")
    table.unlink(missing_ok=True)
    arguments = [*start, "-m", model, "-u", url, "-i", "grpc", "--input-data", str(data)]
    arguments += ["-H", f"{KEY_HEADER}:{key}"]
    arguments += ["--concurrency-range", f"{concurrency}:{concurrency}", "-f", str(table)]
    # Always three windows: on a noisy machine it would never regard its results as stable.
    arguments += ["-r", "3", "-s", "999"]
    if streaming:
        enough = ["--measurement-request-count", str(_EACH * concurrency)]
        arguments += ["--streaming", "--measurement-mode", "count_windows", *enough]
    else:
        arguments += ["--measurement-interval", str(round(window * 1000))]
    # Its loader must find its own libraries, not those of the Python that starts it.
    environment = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    with log.open("w", encoding="utf-8") as sink:
        code = subprocess.run(arguments, stdout=sink, stderr=subprocess.STDOUT, env=environment).returncode
    if code or not table.exists():
        last = "\n".join(log.read_text(encoding="utf-8", errors="replace").splitlines()[-10:])
        raise PerfAnalyzerError(f"perf_analyzer ended with {code} for {model} at {concurrency}:\n{last}")
    return read(table.read_text(encoding="utf-8"))


def read(table: str) -> Measurement:
    """Reads the results from its table, which has one line, for one concurrency."""
    rows = list(csv.DictReader(table.splitlines()))
    if len(rows) != 1:
        raise PerfAnalyzerError(f"its table has {len(rows)} lines, expected one")
    try:
        row = rows[0]
        latency = {name: float(row[f"{name} latency"]) / 1e6 for name in _PERCENTILES}
        return Measurement(int(row["Concurrency"]), float(row["Inferences/Second"]), latency)
    except (KeyError, TypeError, ValueError) as fault:
        raise PerfAnalyzerError(f"its table cannot be read, {fault!r}:\n{table}") from fault


def _tensor(value: np.ndarray) -> dict:
    content = base64.b64encode(np.ascontiguousarray(value).tobytes()).decode()
    return {"content": {"b64": content}, "shape": list(value.shape)}

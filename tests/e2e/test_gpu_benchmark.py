"""The benchmark for GPUs, on a processor with small networks and the stack that runs here anyway."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

import intarsia
from benchmarks.gpu.__main__ import main
from benchmarks.gpu.figures import TINY, figures
from benchmarks.gpu.platform import Platform
from benchmarks.stack import MetricsPage
from deploy.local.stack import Stack

MEASURED = ("loop-1", "loop-8-small", "compiled-1", "triton", "edit", "edits", "mixed", "follow", "tracking")


def test_every_figure_is_measured_without_a_gpu_and_none_is_judged(
    stack: Stack, client: intarsia.Client, weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    @contextmanager
    def running(*_: object) -> Iterator[Platform]:
        yield Platform(stack.triton.url, client, MetricsPage(stack.triton.metrics_url), TINY, seed=7)

    monkeypatch.setattr("benchmarks.gpu.questions.platform_on", running)
    arguments = ["--device", "cpu", "--tiny", "--strict", "--threads", "1", "--seconds", "3600"]
    arguments += ["--weights", str(weights), "--out", str(tmp_path), "--questions", *MEASURED]
    code = main(arguments)
    (table,) = tmp_path.glob("gpu-*.json")
    lines = {line["figure"]: line for line in json.loads(table.read_text(encoding="utf-8"))["lines"]}
    assert code == 0, lines
    for figure in figures(TINY):
        if figure.name in MEASURED:
            line = lines[figure.words]
            assert isinstance(line["value"], float), line
            assert (line["at_least"], line["goal"], line["met"]) == (None, None, None)
    loop = lines["loop, 8 requests, 4 x 4 latents"]
    assert loop["bare_ms"] > 0 and loop["peak_share"] > 0 and loop["rows_a_pass"] >= 3
    assert lines["tracking at 96 x 64 without Triton"]["bare_ms"] > 0
    (plot,) = tmp_path.glob("gpu-*.svg")
    assert "bare, 4 x 4" in plot.read_text(encoding="utf-8")

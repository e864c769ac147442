"""The command and its table."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from benchmarks.gpu.__main__ import main


def arguments_for(folder: Path, seconds: int = 3600) -> list[str]:
    folders = ["--data", str(folder / "data"), "--out", str(folder)]
    return ["--device", "cpu", "--tiny", "--threads", "1", "--seconds", str(seconds), *folders]


def table_of(folder: Path) -> list[dict]:
    (file,) = folder.glob("gpu-*.json")
    return json.loads(file.read_text(encoding="utf-8"))["lines"]


def test_a_figure_that_fails_says_so_and_the_others_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def no_wheel(*_: object, **__: object) -> None:
        raise RuntimeError("there is no\n| wheel")

    monkeypatch.setattr("benchmarks.gpu.questions.platform_on", no_wheel)
    code = main([*arguments_for(tmp_path), "--questions", "edit", "follow"])
    notes = {line["figure"]: line.get("note") for line in table_of(tmp_path)}
    assert code == 1
    fault = "failed: RuntimeError: there is no / wheel"
    assert list(notes.values()) == [None, fault, fault]


def test_figures_that_are_not_reached_in_the_time_say_so(tmp_path: Path):
    assert main([*arguments_for(tmp_path, seconds=16), "--questions", "triton"]) == 0
    _, first = table_of(tmp_path)
    assert first["value"] is None and first["note"].startswith("not reached")


def test_a_machine_without_a_gpu_is_told_how_to_try_the_command(capsys: pytest.CaptureFixture[str]):
    import torch

    if torch.cuda.is_available():
        pytest.skip("there is a GPU here")
    with pytest.raises(SystemExit):
        main(["--questions", "edit"])
    assert "--device cpu --tiny" in capsys.readouterr().err

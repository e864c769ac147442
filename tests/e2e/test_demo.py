"""The demo, as `make demo` runs it, on random weights."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
from PIL import Image


def test_the_demo_shows_an_edit_and_leaves_nothing_running(weights: Path, tmp_path: Path):
    out = tmp_path / "demo"
    command = [sys.executable, "-m", "deploy.local.demo", "--out", str(out), "--data", str(tmp_path / "data")]
    command += ["--weights", str(weights)]
    # Everything it starts inherits this mark, wherever it ends up in the tree of processes.
    mark = f"INTARSIA_DEMO_OF_{os.getpid()}"
    ran = subprocess.run(command, capture_output=True, text=True, env={**os.environ, mark: "1"}, timeout=300)
    assert ran.returncode == 0, ran.stderr
    assert "pixels changed outside the regions: 0" in ran.stdout
    for stage in ("segment", "encode", "denoise", "decode", "inlay"):
        assert stage in ran.stdout, "it says where the time went"
    assert "make the circle blue" in ran.stderr and "step" in ran.stderr, "a bar over the steps"

    before, mask, edited, edited_mask, after, after_mask, sheet = (
        np.asarray(Image.open(out / f"{name}.png"))
        for name in ("before", "mask", "edited", "edited_mask", "after", "after_mask", "sheet")
    )
    assert before.shape == edited.shape == after.shape and mask.shape == before.shape[:2]
    assert sheet.shape == (before.shape[0], 3 * before.shape[1], 3)
    assert (before != edited).any() and (edited != after).any()
    assert edited_mask[mask > 0].all() and (edited_mask > 0).sum() > (mask > 0).sum(), (
        "what was found, and a rim around it"
    )
    assert np.array_equal(before[edited_mask == 0], edited[edited_mask == 0])
    assert np.array_equal(edited[after_mask == 0], after[after_mask == 0])
    assert not [process.pid for process in psutil.process_iter() if _marked(process, mark)]


def _marked(process: psutil.Process, mark: str) -> bool:
    try:
        return mark in process.environ()
    except psutil.Error:  # another's process, or one that has just ended
        return False

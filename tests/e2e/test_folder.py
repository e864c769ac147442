"""A folder through the real stack: some pictures are broken, and the command is killed in the middle."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import intarsia
from benchmarks import damaged_files
from deploy.local.stack import Stack

COUNT, SIDE = 40, 64
FILL = ("fill-region", "--inside", "white", "--steps", "2", "--seed", "7")
# What is said of each way to be broken: the reason, the field, and a word of the message.
SAID = {
    "an empty file": ("INVALID_FIELD", "picture", ""),
    "a text named as a picture": ("INVALID_FIELD", "picture", ""),
    "a picture that was cut off": ("INVALID_FIELD", "picture", ""),
    "a picture of another kind": ("INVALID_FIELD", "picture", ""),
    "more pixels than the limit": ("INVALID_FIELD", "picture", "3600"),
    "a header without pixels": ("INVALID_FIELD", "picture", ""),
    "a mask of another size": ("INVALID_FIELD", "region.mask.artifact", "24 x 16"),
    "a mask that was cut off": ("INVALID_FIELD", "region.mask.artifact", ""),
    "a mask that is an empty file": ("INVALID_FIELD", "region.mask.artifact", ""),
    "a mask that selects nothing": ("EMPTY_REGION", "", ""),
}


def begin(stack: Stack, root: Path) -> subprocess.Popen[str]:
    folders = ("--pictures", str(root / "imgs"), "--masks", str(root / "masks"), "--out", str(root / "out"))
    command = [sys.executable, "-m", "intarsia", *FILL, *folders, "--server", stack.address, "--json"]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def end(process: subprocess.Popen[str]) -> dict[str, Any]:
    """What is said of the batch, once the command is over."""
    said, _ = process.communicate(timeout=300)
    return json.loads(said.splitlines()[-1])["batch"]


def succeeded(client: intarsia.Client) -> int:
    return sum(job.method == "FillRegion" for job in client.list_jobs(states=["succeeded"], page_size=1000))


def test_a_folder_run_that_was_killed_and_restarted_does_every_item_once(
    stack: Stack, client: intarsia.Client, tmp_path: Path
):
    ways = damaged_files.write(tmp_path, count=COUNT, broken=len(damaged_files.WAYS), side=SIDE, seed=3)
    whole = COUNT - len(ways)
    inputs = {file: file.read_bytes() for file in tmp_path.rglob("*.png")}
    before = succeeded(client)

    with begin(stack, tmp_path) as process:
        assert process.stdout is not None
        for number, _ in enumerate(process.stdout, start=1):
            if number == COUNT // 3:
                process.send_signal(signal.SIGKILL)
                break
    assert process.returncode == -signal.SIGKILL
    done = sum(1 for _ in (tmp_path / "out").rglob("*.png"))
    assert 0 < done < whole

    again = begin(stack, tmp_path)
    batch = end(again)
    assert again.returncode == 1
    assert batch["counts"]["succeeded"] + batch["counts"]["skipped"] == whole
    assert (batch["counts"]["failed"], batch["counts"]["left"]) == (len(ways), 0)
    assert batch["complete"] and batch["counts"]["skipped"] > 0

    # No item was done twice and none is missing, by the server's word and by the journal's.
    assert succeeded(client) - before == whole
    lines = [json.loads(line) for line in (tmp_path / "out/report.jsonl").read_text().splitlines()]
    written = Counter(line["item"] for line in lines if line.get("state") == "succeeded")
    assert len(written) == whole and set(written.values()) == {1}

    report = json.loads((tmp_path / "out/report.json").read_text())
    failed = {line["item"]: line for line in report["items"] if line["state"] == "failed"}
    assert failed.keys() == ways.keys()
    for item, way in ways.items():
        reason, field, word = SAID[way]
        assert (failed[item]["reason"], failed[item].get("field", "")) == (reason, field), way
        assert word in failed[item]["message"] and len(failed[item]["message"]) > 20, way

    for item in written:
        picture, mask, result = (
            np.asarray(Image.open(tmp_path / folder / f"{item}.png")) for folder in ("imgs", "masks", "out")
        )
        assert result.shape == (SIDE, SIDE, 3)
        assert np.array_equal(result[mask == 0], picture[mask == 0]), item
        assert not np.array_equal(result, picture), item
    assert {file: file.read_bytes() for file in inputs} == inputs

    third = begin(stack, tmp_path)
    counts = {name: count for name, count in end(third)["counts"].items() if count}
    assert counts == {"items": COUNT, "skipped": whole, "failed": len(ways)}
    assert succeeded(client) - before == whole

"""Folders through kills and cancels, and the run after them."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia import folder
from intarsia.folder import Folder
from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.conftest import QUICK
from tests.intarsia.folder.conftest import (
    Painter,
    Run,
    ask,
    counted,
    jobs_of,
    journal,
    pictures,
    written,
)

SCRIPT = textwrap.dedent(
    """
    import sys
    from intarsia import RetryPolicy, folder
    from tests.intarsia.folder.conftest import ask

    pictures, out, server = sys.argv[1:]
    folder.run(folder.Folder(pictures, out), ask(), server=server, retry=RetryPolicy(4, 0.01, 0.05))
    """
)


@pytest.fixture
def begin(server: str, tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts a run in a process of its own."""
    begun: list[subprocess.Popen[str]] = []

    def start(imgs: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(imgs), str(tmp_path / "out"), server]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
        begun.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("after", [1, 5, 11, 23])
def test_killed_in_the_middle_and_run_again_no_item_is_done_twice_and_none_is_missing(
    after: int, begin: Any, run: Run, double: Painter, tmp_path: Path
) -> None:
    many = pictures(tmp_path / "many", *(f"{number}.png" for number in range(24)))
    process = begin(many)
    double.until(lambda: len(double.requests("EditRegion")) >= after, seconds=30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    report = run(pictures=many)
    assert report.ok and sum(report.counts.values()) == 24
    assert jobs_of(double) == {f"picture {number}.png".encode(): 1 for number in range(24)}
    assert set(written(tmp_path / "out")) == {f"{number}.png" for number in range(24)}
    lines = [line["item"] for line in journal(tmp_path / "out")]
    assert sorted(lines) == sorted({str(number) for number in range(24)})


def test_a_job_that_outlives_the_process_that_started_it_is_found_again(
    begin: Any, run: Run, double: Painter, imgs: Path
) -> None:
    double.by_hand = True
    process = begin(imgs)
    double.until(lambda: double.watchers == 3, seconds=30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    double.until(lambda: double.watchers == 0)
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_QUEUED}
    for name in double.jobs:
        double.succeed(name)
    assert run().counts == {"succeeded": 3}
    assert len(double.jobs) == 3


def test_ctrl_c_cancels_running_items_and_a_later_run_does_them(
    begin: Any, run: Run, double: Painter, tmp_path: Path
) -> None:
    many = pictures(tmp_path / "many", *(f"{number}.png" for number in range(9)))
    double.by_hand = True
    process = begin(many)
    double.until(lambda: double.watchers == 4, seconds=30)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode != 0 and said.rstrip().endswith("KeyboardInterrupt")
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_CANCELLED}
    assert len(double.jobs) == 4
    assert [line["state"] for line in journal(tmp_path / "out")] == ["cancelled"] * 4
    facts = json.loads((tmp_path / "out/report.json").read_text())
    assert facts["counts"] == counted(items=9, cancelled=4, left=5) and not facts["complete"]
    assert facts["ended_by"]["reason"] == "CANCELLED"
    double.by_hand = False
    for history in double.jobs.values():
        del history[:-1]  # a server tells how a job stands, not how it once stood
    assert run(pictures=many).counts == {"succeeded": 9}
    assert sorted(jobs_of(double).values()) == [1] * 5 + [2] * 4


async def test_a_cancel_in_asyncio_reaches_a_job_whose_name_has_not_arrived(
    server: str, double: Painter, imgs: Path
) -> None:
    double.by_hand, double.pause = True, threading.Event()
    where = Folder(imgs, imgs.parent / "out")
    async with intarsia.AsyncClient(server, retry=QUICK) as client:
        task = asyncio.create_task(folder.run_async(client, where, ask()))
        await asyncio.to_thread(double.until, lambda: len(double.jobs) == 3)
        task.cancel()
        await asyncio.sleep(0)  # the cancel is on its way before the name is
        double.pause.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_CANCELLED}

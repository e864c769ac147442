"""The items that run at once, and the memory they take."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import textwrap
import threading
from pathlib import Path
from typing import Any

from intarsia.v1.jobs_pb2 import Job
from tests.intarsia.double import Fault, serve
from tests.intarsia.folder.conftest import (
    Painter,
    Run,
    pictures,
)


def test_never_more_items_run_than_allowed(run: Run, double: Painter, tmp_path: Path) -> None:
    many = pictures(tmp_path / "many", *(f"{number}.png" for number in range(12)))
    double.by_hand = True
    arrived, under_way = double._arrived, []

    def open_jobs() -> list[str]:
        waiting = (Job.STATE_QUEUED, Job.STATE_RUNNING)
        return [name for name, history in list(double.jobs.items()) if history[-1].state in waiting]

    def counting(method: str, request: Any, context: Any) -> Fault | None:
        if method == "EditRegion":
            under_way.append(len(open_jobs()) + 1)
        return arrived(method, request, context)

    def moved_on() -> None:
        for done in range(12):
            double.until(lambda left=12 - done: len(open_jobs()) == min(3, left))
            double.succeed(open_jobs()[0])

    double._arrived = counting  # type: ignore[method-assign]
    mover = threading.Thread(target=moved_on)
    mover.start()
    assert run(pictures=many, at_once=3).counts == {"succeeded": 12}
    mover.join()
    assert max(under_way) == 3


MEMORY = textwrap.dedent(
    """
    import json, sys, psutil
    from intarsia import folder
    from tests.intarsia.folder.conftest import ask

    process, sizes = psutil.Process(), []

    class Scale(folder.Listener):
        def on_item_end(self, item, entry):
            sizes.append(process.memory_info().rss)

    pictures, out, server = sys.argv[1:]
    folder.run(folder.Folder(pictures, out), ask(), server=server, listener=Scale())
    print(json.dumps(sizes))
    """
)


def test_memory_does_not_grow_with_the_items(tmp_path: Path) -> None:
    """200 pictures of 256 KB and as many results: were they held, that would be 100 MB in the end."""
    double = Painter()
    server, address = serve(double)
    double.chunk = 1 << 20
    root = tmp_path / "large"
    root.mkdir()
    for number in range(200):
        (root / f"{number}.png").write_bytes(b"picture %d " % number + bytes(1 << 18))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[3])}
    command = [sys.executable, "-c", MEMORY, str(root), str(tmp_path / "out"), address]
    try:
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=240
        )
    finally:
        server.stop(None).wait()
    sizes = json.loads(ran.stdout)
    settled = sizes[50:]
    assert len(sizes) == 200
    assert max(settled) - min(settled) < 16 << 20

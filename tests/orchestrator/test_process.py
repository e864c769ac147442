"""`python -m orchestrator`: from the environment to the last line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import sys
import urllib.request
from pathlib import Path

import grpc
import numpy as np

from intarsia.v1 import jobs_pb2 as jb
from tests.orchestrator.conftest import Client, click, png
from tests.orchestrator.doubles import Triton


async def test_a_process_serves_until_it_is_told_to_stop(
    triton: Triton, tmp_path: Path, picture: np.ndarray
) -> None:
    ready = tmp_path / "ready.json"
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator",
        env=os.environ
        | {
            "INTARSIA_LISTEN": "127.0.0.1:0",
            "INTARSIA_METRICS_LISTEN": "127.0.0.1:0",
            "INTARSIA_TRITON": triton.url,
            "INTARSIA_ARTIFACTS": str(tmp_path / "artifacts"),
            "INTARSIA_READY_FILE": str(ready),
        },
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None and process.stderr is not None
    announced = (await process.stdout.readline()).decode()
    told = json.loads(ready.read_text())
    assert told["listen"] in announced and told["metrics"] in announced

    async with grpc.aio.insecure_channel(told["listen"]) as channel:
        client = Client(channel)
        triton.ip2p_unet.hold_at = 2
        job = await client.edit(click(await client.upload(png(picture))))
        await triton.ip2p_unet.held.wait()
        following = asyncio.ensure_future(client.finished(job.name))
        page = await asyncio.to_thread(_read, f"http://{told['metrics']}/metrics")
        assert 'intarsia_jobs{state="running"} 1.0' in page

        process.send_signal(signal.SIGTERM)
        triton.ip2p_unet.go_on.set()
        assert (await following).state == jb.Job.STATE_SUCCEEDED
    assert await process.wait() == 0
    lines = [json.loads(line) for line in (await process.stderr.read()).decode().splitlines()]
    assert {"started", "ended", "stopped"} <= {line["message"] for line in lines}
    assert all(line["job"] == job.name for line in lines if line["message"] in ("started", "ended"))


async def test_a_setting_that_cannot_be_used_is_said_and_nothing_is_started() -> None:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "orchestrator",
        env=os.environ | {"INTARSIA_LISTEN": "nowhere"},
        stderr=asyncio.subprocess.PIPE,
    )
    _, said = await process.communicate()
    assert process.returncode == 1
    assert said.decode().startswith("orchestrator: INTARSIA_LISTEN='nowhere': must be an address and a port")


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()

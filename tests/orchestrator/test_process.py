"""`python -m orchestrator`: from the environment to the last line."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import socket
import sys
import urllib.request
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import grpc
import numpy as np
import pytest
from sqlalchemy import insert

from intarsia.v1 import jobs_pb2 as jb
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.database import Database
from tests.orchestrator.conftest import Client, click, png
from tests.orchestrator.doubles.triton import Triton


@asynccontextmanager
async def process(**environment: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """An orchestrator of its own, which does not outlive the test."""
    pipe = asyncio.subprocess.PIPE
    started = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "orchestrator", env=os.environ | environment, stdout=pipe, stderr=pipe
    )
    try:
        yield started
    finally:
        if started.returncode is None:
            started.kill()
            await started.wait()


async def test_a_process_serves_until_it_is_stopped(
    triton: Triton, tmp_path: Path, picture: np.ndarray
) -> None:
    ready = tmp_path / "ready.json"
    async with process(
        INTARSIA_LISTEN="127.0.0.1:0",
        INTARSIA_METRICS_LISTEN="127.0.0.1:0",
        INTARSIA_TRITON=triton.url,
        INTARSIA_ARTIFACTS=str(tmp_path / "artifacts"),
        INTARSIA_READY_FILE=str(ready),
    ) as server:
        assert server.stdout is not None and server.stderr is not None
        announced = (await server.stdout.readline()).decode()
        told = json.loads(ready.read_text())
        assert told["listen"] in announced and told["metrics"] in announced
        assert "keeps uploads for 30 days" in announced and told["keeps"] in announced

        async with grpc.aio.insecure_channel(told["listen"]) as channel:
            client = Client(channel)
            triton.ip2p_unet.hold_at = 2
            job = await client.edit(click(await client.upload(png(picture))))
            await triton.ip2p_unet.held.wait()
            following = asyncio.ensure_future(client.finished(job.name))
            page = await asyncio.to_thread(_read, f"http://{told['metrics']}/metrics")
            assert 'intarsia_jobs{state="running"} 1.0' in page

            server.send_signal(signal.SIGTERM)
            triton.ip2p_unet.go_on.set()
            assert (await following).state == jb.Job.STATE_SUCCEEDED
        assert await server.wait() == 0
        lines = [json.loads(line) for line in (await server.stderr.read()).decode().splitlines()]
    assert {"started", "ended", "stopped"} <= {line["message"] for line in lines}
    assert all(line["job"] == job.name for line in lines if line["message"] in ("started", "ended"))


@pytest.mark.parametrize(
    ("variable", "value", "why"),
    [
        ("INTARSIA_LISTEN", "nowhere", "must be an address and a port"),
        ("INTARSIA_METRICS_LISTEN", "127.0.0.1:{taken}", "in use"),
        ("INTARSIA_ARTIFACTS", "/dev/null/artifacts", "Not a directory"),
    ],
)
async def test_an_invalid_setting_is_reported_before_anything_starts(
    tmp_path: Path, variable: str, value: str, why: str
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        value = value.format(taken=taken.getsockname()[1])
        environment = {
            "INTARSIA_LISTEN": "127.0.0.1:0",
            "INTARSIA_METRICS_LISTEN": "127.0.0.1:0",
            "INTARSIA_ARTIFACTS": str(tmp_path),
            variable: value,
        }
        async with process(**environment) as server:
            _, said = await asyncio.wait_for(server.communicate(), 30)
    assert server.returncode == 1
    assert variable in said.decode() and why in said.decode() and "Traceback" not in said.decode()


async def test_jobs_do_not_start_with_another_store_than_theirs(triton: Triton, tmp_path: Path) -> None:
    environment = {
        "INTARSIA_LISTEN": "127.0.0.1:0",
        "INTARSIA_METRICS_LISTEN": "127.0.0.1:0",
        "INTARSIA_TRITON": triton.url,
        "INTARSIA_JOBS_DATABASE": f"sqlite:///{tmp_path}/jobs.sqlite",
    }
    async with process(**environment, INTARSIA_ARTIFACTS=str(tmp_path / "own")) as server:
        assert server.stdout is not None
        assert b"ready" in await server.stdout.readline()
        server.send_signal(signal.SIGTERM)
        assert await server.wait() == 0
    async with process(**environment, INTARSIA_ARTIFACTS=str(tmp_path / "other")) as server:
        _, said = await asyncio.wait_for(server.communicate(), 30)
    own = (tmp_path / "own" / "identity").read_text().strip()
    assert server.returncode == 1
    assert (
        f"the folder whose file `identity` says {own}" in said.decode() and "Traceback" not in said.decode()
    )


async def test_a_server_that_can_claim_no_jobs_any_more_ends(triton: Triton, tmp_path: Path) -> None:
    """Whatever started it starts it anew; else it would take jobs that never run."""
    database = await Database.open(f"sqlite:///{tmp_path}/jobs.sqlite")
    spoiled = insert(tables.jobs).values(
        name="jobs/0", caller="", method="", recipe="", kind="of a later version", priority=0, labels="[]",
        request="", sent="", memory=0, requests=1, state="queued", lane="", rank=0.0, attempt=0, owner="",
        wanted="", created=0.0, spent=0.0,
    )  # fmt: skip
    await database.run(lambda connection: connection.execute(spoiled))
    await database.close()
    async with process(
        INTARSIA_LISTEN="127.0.0.1:0",
        INTARSIA_METRICS_LISTEN="127.0.0.1:0",
        INTARSIA_TRITON=triton.url,
        INTARSIA_ARTIFACTS=str(tmp_path),
    ) as server:
        _, said = await asyncio.wait_for(server.communicate(), 30)
    assert server.returncode == 1
    assert "no jobs are claimed any more" in said.decode() and "of a later version" in said.decode()


def _read(url: str) -> str:
    with urllib.request.urlopen(url, timeout=10) as answer:
        return answer.read().decode()

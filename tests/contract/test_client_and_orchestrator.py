"""The client and the orchestrator, each tested against a double of the other, meet."""

from __future__ import annotations

import asyncio
import io
import json
import sys
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import aclosing
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_status import rpc_status
from PIL import Image

import intarsia
from intarsia import errors
from intarsia.results import JobState
from orchestrator.api.status import status_of
from orchestrator.app import Orchestrator
from orchestrator.models.registry import MODELS
from orchestrator.settings import Settings
from tests.orchestrator.conftest import picture, triton  # noqa: F401 - fixtures
from tests.orchestrator.doubles.triton import Triton

WHERE = intarsia.rectangle(40, 30, 100, 90)


@pytest.fixture
async def server(triton: Triton, tmp_path: Path) -> AsyncIterator[str]:  # noqa: F811
    """The address of a whole orchestrator. Edits of 1000 steps do not end by themselves."""
    triton.ip2p_unet.hold_at = 900
    environment = {
        "INTARSIA_LISTEN": "127.0.0.1:0",
        "INTARSIA_TRITON": triton.url,
        "INTARSIA_ARTIFACTS": str(tmp_path / "artifacts"),
    }
    orchestrator = Orchestrator(Settings.read(environment, MODELS))
    port = await orchestrator.start()
    await orchestrator.wait_until_ready()
    yield f"127.0.0.1:{port}"
    await orchestrator.stop(0)


@pytest.fixture
async def client(server: str) -> AsyncIterator[intarsia.AsyncClient]:
    async with intarsia.AsyncClient(server) as client:
        yield client


@pytest.fixture
def photo(picture: np.ndarray, tmp_path: Path) -> Path:  # noqa: F811
    path = tmp_path / "photo.png"
    Image.fromarray(picture).save(path)
    return path


async def cli(server: str, *arguments: str) -> tuple[int, list[dict[str, Any]]]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "intarsia",
        *arguments,
        "--server",
        server,
        "--json",
        stdout=asyncio.subprocess.PIPE,
    )
    said, _ = await process.communicate()
    return process.returncode or 0, [json.loads(line) for line in said.splitlines()]


@pytest.mark.parametrize("kind", sorted(errors.classes().values(), key=lambda kind: kind.reason))
def test_every_exception_crosses_the_wire_unchanged(kind: type[errors.IntarsiaError]) -> None:
    sent = kind("what happened, and what to do", best_score=0.25)
    if isinstance(sent, errors.InvalidRequest):
        sent.field = "region.box.right"

    class Refusing(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
                raise context.abort_with_status(rpc_status.to_status(status_of(sent)))

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Refusing()])
    address = f"localhost:{server.add_insecure_port('localhost:0')}"
    server.start()
    try:
        with intarsia.Client(address, retry=intarsia.RetryPolicy(attempts=1)) as client:
            with pytest.raises(errors.IntarsiaError) as caught:
                client.get_job("jobs/1")
    finally:
        server.stop(None).wait()
    assert type(caught.value) is kind
    assert vars(caught.value) == vars(sent)


async def test_an_edit_by_asyncio(client: intarsia.AsyncClient, photo: Path) -> None:
    job = await client.edit_region(photo, WHERE, "make it blue", seed=7, steps=3)
    states = [state async for state in job.watch()]
    assert states[-1].progress.fraction == 1
    result = await job.result()
    assert result.manifest.seed == 7
    before, after = (
        np.asarray(Image.open(io.BytesIO(data)))
        for data in (photo.read_bytes(), await client.read(result.picture))
    )
    outside = np.ones(before.shape[:2], bool)
    outside[30:90, 40:100] = False
    assert np.array_equal(before[outside], after[outside])
    assert not np.array_equal(before, after)


async def test_an_edit_by_blocking_code(server: str, photo: Path, tmp_path: Path) -> None:
    def edit() -> Path:
        with intarsia.Client(server) as client:
            job = client.edit_region(photo, WHERE, "make it blue", steps=3)
            return client.download(job.result(timeout=60).picture, to=tmp_path / "out.png")

    assert Image.open(await asyncio.to_thread(edit)).size == (160, 120)


async def test_an_edit_from_the_command_line(server: str, photo: Path, tmp_path: Path) -> None:
    output = str(tmp_path / "out.png")
    edit = ("edit-region", str(photo), "--rectangle", "40,30,100,90", "-i", "make it blue", "--steps", "3")
    code, said = await cli(server, *edit, "-o", output, "--progress")
    assert code == 0
    assert [line["progress"]["fraction"] for line in said[:-1]][-1] == 1
    assert said[-1]["result"]["output"] == output
    assert Image.open(output).size == (160, 120)
    code, listed = await cli(server, "jobs", "list")
    assert code == 0
    assert [line["job"]["name"] for line in listed] == [said[-1]["result"]["job"]]


async def test_finding_a_region(client: intarsia.AsyncClient, photo: Path) -> None:
    found = await client.segment_region(photo, WHERE)
    assert (found.width, found.height) == (160, 120)
    assert (found.region.box.left, found.region.box.bottom, found.region.area) == (40, 90, 3600)


async def test_a_wrong_field_is_named_by_its_option(server: str, photo: Path) -> None:
    edit = ("edit-region", str(photo), "--click", "40,30", "-i", "make it blue", "-o", "out.png")
    for option, value in (
        ("--steps", "1001"),
        ("--guidance", "nan"),
        ("--feather", "-1"),
        ("--click", "nan,3"),
    ):
        code, said = await cli(server, *edit, option, value)
        assert code == 2
        assert said[-1]["error"]["option"] == option


async def test_the_same_request_id_is_the_same_job(client: intarsia.AsyncClient, photo: Path) -> None:
    request_id = "0b9c2c5e-4c1c-4c8e-9a43-0d5a1c2b3e4f"
    jobs = [
        await client.edit_region(photo, WHERE, "make it blue", steps=3, request_id=request_id)
        for _ in range(2)
    ]
    assert jobs[0].name == jobs[1].name
    await jobs[0].result()


async def test_leaving_a_tied_watch_cancels_the_job(client: intarsia.AsyncClient, photo: Path) -> None:
    job = await client.edit_region(photo, WHERE, "make it blue", steps=1000)
    watch = job.watch(cancel_on_disconnect=True)
    await anext(watch)
    await watch.aclose()
    with pytest.raises(errors.Cancelled):
        await job.result(timeout=30)


async def until(job: intarsia.AsyncJob, state: JobState) -> None:
    """Returns when a job is in this state."""
    async with aclosing(job.watch(timeout=30)) as states:
        async for seen in states:
            if seen.state == state:
                return
    raise AssertionError(f"{job.name} ended before it was {state}")


async def test_a_job_is_paused_continued_cancelled_and_tried_again(
    client: intarsia.AsyncClient, photo: Path
) -> None:
    job = await client.edit_region(photo, WHERE, "make it blue", steps=1000, labels=["mural"], priority=3)
    await until(job, JobState.RUNNING)
    await job.pause()
    await until(job, JobState.PAUSED)
    (listed,) = [each async for each in client.list_jobs(states=["paused"], labels=["mural"])]
    assert (listed.name, listed.priority, listed.kind, listed.attempt) == (job.name, 3, "interactive", 1)
    await job.resume()
    await until(job, JobState.RUNNING)
    await job.cancel()
    with pytest.raises(errors.Cancelled):
        await job.result(timeout=30)
    again = await job.retry()
    assert again.error is None and not again.state.finished
    await until(job, JobState.RUNNING)
    assert (await job.get()).attempt == 3
    await job.cancel()
    assert (await job.wait(timeout=30)).state == JobState.CANCELLED


async def test_what_is_stored_is_listed_pinned_and_deleted(client: intarsia.AsyncClient, photo: Path) -> None:
    job = await client.edit_region(photo, WHERE, "make it blue", steps=1000)
    uploaded = (await client.upload(photo)).name
    with pytest.raises(errors.NotReady, match=job.name):
        await client.delete(uploaded)
    assert (await client.get_artifact(uploaded)).expire_time is None  # the job needs it
    await job.cancel()
    await job.wait(timeout=30)
    assert (await client.get_artifact(uploaded)).origin == "upload"
    assert (await client.pin(uploaded)).pinned
    assert [each.name async for each in client.list_artifacts(pinned=True)] == [uploaded]
    with pytest.raises(errors.NotReady, match="unpin"):
        await client.delete(uploaded)
    await client.unpin(uploaded)
    await client.delete(uploaded)
    with pytest.raises(errors.NotFound):
        await client.get_artifact(uploaded)

"""Whatever dies, no call hangs: running requests go on, and later ones succeed without help."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import psutil
import pytest
from PIL import Image

import intarsia
from benchmarks.clips import encode
from benchmarks.leftovers import shared_memory
from deploy.local.stack import Stack
from deploy.local.stubs import stubs_of
from tests.e2e.waiting import LONG, PATIENCE, WHERE, edit, photo, running, stepping, until


@pytest.fixture(scope="module")
def picture() -> bytes:
    return photo()


@pytest.fixture(autouse=True)
def healthy_afterwards(stack: Stack, client: intarsia.Client, picture: bytes):
    """Whatever a test broke has come back, and left nothing behind in the step loop."""
    yield
    for left in client.list_jobs(states=["queued", "running"]):
        client.cancel_job(left.name)
    assert edit(client, picture, seed=1, steps=2).result(timeout=PATIENCE).picture
    until(lambda: running(stack.triton) == 0)


def stub(stack: Stack, model: str) -> psutil.Process:
    """The process that runs a model."""
    return psutil.Process(stubs_of(stack.triton.pid)[model])


def test_a_denoiser_killed_in_mid_step(stack: Stack, client: intarsia.Client, picture: bytes):
    """Its requests go on from their checkpoints once it is back, and end in the same bytes."""
    settings = {"steps": 150, "working_size": 128, "reproducible": True}
    quiet = [edit(client, picture, seed=seed, **settings) for seed in range(2)]
    undisturbed = [job.result(timeout=PATIENCE) for job in quiet]
    jobs = [edit(client, picture, seed=seed, **settings) for seed in range(2)]
    for job in jobs:
        stepping(job, after=30)
    log, killed = stack.settings.data / "orchestrator.log", stub(stack, "ip2p_unet")
    before = len(log.read_bytes())
    killed.kill()
    notes = {state.progress.note for state in jobs[0].watch(timeout=PATIENCE)}
    assert any("the process of ip2p_unet has ended; this stage goes on" in note for note in notes)
    results = [job.result(timeout=PATIENCE) for job in jobs]
    assert [result.picture for result in results] == [result.picture for result in undisturbed]
    words = log.read_bytes()[before:]
    assert b"broke off in the middle" in words and b"the checkpoint is refused" not in words
    assert stub(stack, "ip2p_unet").pid != killed.pid


def test_requests_wait_for_a_vae_that_was_killed(stack: Stack, client: intarsia.Client, picture: bytes):
    """The job's next question meets a dead process; it has lost nothing, so it waits and asks again."""
    job = edit(client, picture, seed=4, steps=100)
    stepping(job)
    killed = stub(stack, "vae")
    killed.kill()
    asked_for_new_work = edit(client, picture, seed=5, steps=2)
    for waiting in (job, asked_for_new_work):
        result = waiting.result(timeout=PATIENCE)
        mask = np.asarray(Image.open(io.BytesIO(client.read(result.mask))))
        before, after = (
            np.asarray(Image.open(io.BytesIO(x))) for x in (picture, client.read(result.picture))
        )
        assert np.array_equal(before[mask == 0], after[mask == 0])
    assert stub(stack, "vae").pid != killed.pid


def test_a_model_killed_while_it_tracks_gives_the_same_masks(
    stack: Stack, client: intarsia.Client, picture: bytes
):
    """Its memory of the clip dies with it; the clip is followed from the beginning, once it is back."""
    still = np.asarray(Image.open(io.BytesIO(picture)))
    clip = encode(np.stack([np.roll(still, number, axis=1) for number in range(150)]))
    where = intarsia.rectangle(*WHERE)
    undisturbed = client.track_region(clip, where).result(timeout=PATIENCE)
    job = client.track_region(clip, where)
    for state in job.watch(timeout=PATIENCE):
        if state.progress.stage == "track" and state.progress.step >= 8:
            break
    killed = stub(stack, "sam")
    killed.kill()
    assert job.get().state == "running"
    result = job.result(timeout=PATIENCE)
    assert (result.masks, result.track) == (undisturbed.masks, undisturbed.track)
    assert stub(stack, "sam").pid != killed.pid


def test_a_server_killed_in_mid_step(
    stack: Stack, client: intarsia.Client, picture: bytes, caplog: pytest.LogCaptureFixture
):
    job = edit(client, picture, seed=6, steps=150, working_size=128)
    stepping(job)
    server = psutil.Process(stack.triton.pid)
    stubs = [stub(stack, model) for model in stack.models]
    regions = shared_memory(stubs)
    assert len(regions) == len(stubs) and all(region.exists() for region in regions)
    server.kill()
    assert job.result(timeout=PATIENCE).picture
    assert stack.triton.pid != server.pid
    assert "ended by itself, with -9" in caplog.text
    assert not any(process.is_running() for process in stubs)
    assert not any(region.exists() for region in regions)


def test_an_orchestrator_killed_in_mid_step(stack: Stack, client: intarsia.Client, picture: bytes):
    """It is started again; its job goes on, and so does the client's watch."""
    job = edit(client, picture, seed=7, steps=150, working_size=128)
    stepping(job, after=30)
    before = stack.orchestrator.pid
    os.kill(before, signal.SIGKILL)
    assert job.result(timeout=PATIENCE).picture
    assert stack.orchestrator.pid != before and job.get().attempt == 2


@pytest.mark.parametrize(
    ("number", "code"),
    [(signal.SIGKILL, -signal.SIGKILL), (signal.SIGTERM, -signal.SIGTERM), (signal.SIGINT, 130)],
    ids=["SIGKILL", "SIGTERM", "Ctrl-C"],
)
def test_a_killed_foreground_client_frees_the_slot(
    stack: Stack, picture: bytes, tmp_path: Path, number: signal.Signals, code: int
):
    (tmp_path / "photo.png").write_bytes(picture)
    where = ("--rectangle", ",".join(map(str, WHERE)), "--working-size", "64")  # short steps
    how = ("--instruction", "make it blue", "--steps", str(LONG["steps"]), "--json", "--progress")
    command = [sys.executable, "-m", "intarsia", "edit-region", "photo.png", "-o", "out.png"]
    command += [*where, *how]
    environment = {**os.environ, "INTARSIA_SERVER": stack.address}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=tmp_path, env=environment) as cli:
        assert cli.stdout is not None
        for line in cli.stdout:
            progress = json.loads(line)["progress"]
            if progress["stage"] == "denoise" and progress["step"]:
                break
        assert running(stack.triton) >= 1  # probes count, too
        cli.send_signal(number)
        freed = until(lambda: running(stack.triton) == 0, seconds=5.0)
        assert cli.wait(30) == code
    assert freed < 1.0, "one step of some milliseconds, and a margin for a machine under load"
    with intarsia.Client(stack.address) as client:
        job = next(iter(client.list_jobs(page_size=1)))
    assert job.state == "cancelled"
    assert not (tmp_path / "out.png").exists()

"""Waiting for what only asking tells, and for jobs to get where they can be disturbed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable

import numpy as np
from PIL import Image

import intarsia
from deploy.local.triton import Triton
from tests.e2e.triton import figure

WHERE = (40, 30, 104, 94)
# An edit that is met in the middle, whatever else this machine does.
LONG = {"steps": 900, "working_size": 256}
# What a machine under load may take to load a model, or all of them.
PATIENCE = 180.0


def until(condition: Callable[[], bool], seconds: float = 10.0) -> float:
    """Seconds until the condition held."""
    started = time.monotonic()
    while not condition():
        assert time.monotonic() - started < seconds, "it did not happen in time"
        time.sleep(0.005)
    return time.monotonic() - started


def running(triton: Triton) -> float:
    """How many requests the step loop is working on."""
    return figure(triton.metrics_url, "intarsia_engine_running", model="ip2p_unet")


def photo() -> bytes:
    """A picture of 160 x 128 pixels."""
    coarse = np.random.default_rng(11).integers(0, 256, (8, 10, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((160, 128), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def edit(client: intarsia.Client, picture: bytes, seed: int, **more) -> intarsia.Job:
    """A job that edits a region of it."""
    return client.edit_region(picture, intarsia.rectangle(*WHERE), "make it blue", seed=seed, **more)


def stepping(job: intarsia.Job, *, after: int = 1) -> None:
    """Returns once the job is in the step loop and has taken so many steps."""
    for state in job.watch(timeout=PATIENCE):
        if state.progress.stage == "denoise" and state.progress.step >= after:
            return
    raise AssertionError("the job was over before it could be disturbed")

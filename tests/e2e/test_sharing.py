"""What a picture looks like does not depend on who else is being served."""

from __future__ import annotations

import io
import random

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

import intarsia

SCHEDULERS = ("ddim", "euler", "euler_ancestral", "dpm_solver", "unipc", "ddpm")


@pytest.fixture(scope="module")
def picture(stack) -> bytes:
    rng = np.random.default_rng(3)
    coarse = rng.integers(0, 256, (10, 12, 3), np.uint8)
    file = io.BytesIO()
    Image.fromarray(coarse).resize((192, 160), Image.Resampling.BICUBIC).save(file, "PNG")
    return file.getvalue()


def edit(client: intarsia.Client, picture: bytes, seed: int, **more) -> intarsia.Job:
    where = intarsia.rectangle(40, 30, 104, 94).feathered(4)
    return client.edit_region(picture, where, f"make number {seed} blue", seed=seed, **more)


def pixels(client: intarsia.Client, job: intarsia.Job) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.read(job.result(timeout=120).picture))))


@settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(seed=st.integers(0, 2**31), chance=st.integers(0, 2**31), scheduler=st.sampled_from(SCHEDULERS))
def test_beside_seven_other_requests_a_picture_equals_the_one_made_alone(
    client, picture, seed, chance, scheduler
):
    """Others join, leave and are cancelled. Reproducible: the same bytes. Otherwise within 1/255."""
    rng = random.Random(chance)
    mine = {"steps": 8, "scheduler": scheduler}
    alone = pixels(client, edit(client, picture, seed, **mine))
    alone_pinned = pixels(client, edit(client, picture, seed, reproducible=True, **mine))

    before = [_other(client, picture, rng) for _ in range(4)]
    shared = edit(client, picture, seed, **mine)
    pinned = edit(client, picture, seed, reproducible=True, **mine)
    others = before + [_other(client, picture, rng) for _ in range(3)]
    for other in rng.sample(others, 3):
        other.cancel()
    assert pixels(client, pinned).tobytes() == alone_pinned.tobytes()
    assert [job.result(timeout=120).manifest.path for job in (pinned, shared)] == ["eager", ""]
    assert np.abs(pixels(client, shared).astype(int) - alone.astype(int)).max() <= 1
    for other in others:
        other.cancel()


def _other(client: intarsia.Client, picture: bytes, rng: random.Random) -> intarsia.Job:
    return edit(
        client,
        picture,
        rng.randrange(2**31),
        steps=rng.randint(2, 20),
        scheduler=rng.choice(SCHEDULERS),
        reproducible=rng.random() < 0.3,
    )

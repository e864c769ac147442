"""Edits whose models are full, away, or come back with other weights."""

from __future__ import annotations

from typing import Any

import grpc
import numpy as np
import pytest

from intarsia.v1 import jobs_pb2 as jb
from orchestrator.media.pictures import Pictures
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.workflows.test_edit_region import SUCCEEDED, edited


async def test_a_request_to_a_full_denoiser_is_repeated(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    triton.ip2p_unet.refusals += [Refused("BUSY: no room", grpc.StatusCode.UNAVAILABLE)] * 2
    await edited(client, click(await client.upload(png(picture))))
    assert len(triton.ip2p_unet.requests) == 3


async def test_a_job_goes_on_when_its_model_lost_its_pulse_for_once(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    _, client = await start(INTARSIA_STALL_FLOOR_SECONDS="0.5")
    triton.ip2p_unet.hold_at = 2
    job = await client.edit(click(await client.upload(png(picture))))
    await triton.ip2p_unet.held.wait()
    triton.ip2p_unet.hold_at = None
    assert (await client.finished(job.name)).state == SUCCEEDED
    assert len(triton.ip2p_unet.requests) == 2


async def test_a_model_without_a_pulse_fails_the_job_and_not_the_next(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    _, client = await start(INTARSIA_STALL_FLOOR_SECONDS="0.2")
    triton.ip2p_unet.hold_at = 2
    name = await client.upload(png(picture))
    job = await client.finished((await client.edit(click(name))).name)
    assert (job.failure.status, job.failure.reason) == ("UNAVAILABLE", "MODEL_DOWN")
    assert "no sign of life from ip2p_unet" in job.failure.message
    triton.ip2p_unet.hold_at = None
    await edited(client, click(name))


NOT_HEALTHY = Refused("Stub process 'ip2p_unet_0_0' is not healthy.", grpc.StatusCode.INTERNAL)


async def test_a_job_waits_for_a_model_that_restarts(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    triton.ip2p_unet.refusals += [NOT_HEALTHY] * 2
    await edited(client, click(name))
    assert len(triton.ip2p_unet.requests) == 3


async def test_a_job_whose_model_comes_back_with_other_weights_fails_and_says_so(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    await edited(client, click(name))
    triton.ip2p_unet.refusals.append(NOT_HEALTHY)
    triton.ip2p_unet.size, triton.ip2p_unet.weights = 512, "d1" * 32
    check_weights_changed(await client.finished((await client.edit(click(name))).name))
    result = await edited(client, click(name))
    assert result.manifest.weights["ip2p_unet"] == "d1" * 32 and result.manifest.working_width == 256


@pytest.mark.parametrize("model", ["ip2p_unet", "vae", "text_encoder", "sam"])
async def test_a_job_whose_weights_changed_before_it_runs_makes_no_step(
    start: Start, triton: Triton, picture: np.ndarray, model: str
) -> None:
    """The facts that the orchestrator keeps for a minute know nothing of the change: the model refuses."""
    _, client = await start(INTARSIA_JOBS_RUNNING="1")
    name = await client.upload(png(picture))
    triton.ip2p_unet.hold_at = 0
    first = await client.edit(click(name))
    await triton.ip2p_unet.held.wait()
    second = await client.edit(click(name))
    getattr(triton, model).weights = "d1" * 32
    await client.jobs.CancelJob(jb.CancelJobRequest(name=first.name))
    check_weights_changed(await client.finished(second.name))
    assert triton.ip2p_unet.steps == 0
    triton.ip2p_unet.hold_at = None
    result = await edited(client, click(name))
    assert result.manifest.weights[model] == "d1" * 32


async def test_facts_are_not_read_for_every_edit(client: Client, triton: Triton, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    await edited(client, click(name))
    before = triton.queries
    assert before >= 4
    await edited(client, click(name))
    assert triton.queries == before


def check_weights_changed(job: jb.Job) -> None:
    assert (job.failure.status, job.failure.reason) == ("UNAVAILABLE", "MODEL_DOWN")
    assert "other weights" in job.failure.message and "send it again" in job.failure.message


async def test_a_request_is_taken_in_while_its_model_is_down(
    client: Client, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is resolved with the facts that the model published last."""
    name = await client.upload(png(picture))
    await edited(client, click(name))
    monkeypatch.setattr("orchestrator.triton.endpoint._FACTS_KEPT_SECONDS", 0.0)
    monkeypatch.setattr("orchestrator.jobs.latest_facts._REFRESH_SECONDS", 0.05)
    triton.broken["ip2p_unet"] = Refused("failed to connect", grpc.StatusCode.UNAVAILABLE)
    await client.edit(click(name))  # the facts read last may still be fresh
    job = await client.edit(click(name))
    del triton.broken["ip2p_unet"]
    assert (await client.finished(job.name)).state == SUCCEEDED


async def test_a_model_that_does_not_come_back_is_waited_for_no_longer_than_set(
    start: Start, triton: Triton, picture: np.ndarray
) -> None:
    orchestrator, client = await start(INTARSIA_WAIT_AWAY_SECONDS="0.1")
    await orchestrator.wait_until_ready()
    name = await client.upload(png(picture))
    triton.broken["vae"] = Refused("failed to connect", grpc.StatusCode.UNAVAILABLE)
    job = await client.finished((await client.edit(click(name))).name)
    assert (job.failure.status, job.failure.reason) == ("UNAVAILABLE", "MODEL_DOWN")
    assert "vae is out of reach" in job.failure.message
    triton.broken["vae"] = Refused("BUSY: no memory", grpc.StatusCode.UNAVAILABLE)
    request = click(name)
    request.job.time_limit.FromMilliseconds(2000)
    job = await client.finished((await client.edit(request)).name)
    assert (job.failure.status, job.failure.reason) == ("RESOURCE_EXHAUSTED", "BUSY")


async def test_once_the_result_is_kept_no_model_is_needed(
    start: Start, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep = Pictures.keep

    async def keep_and_lose_the_models(*args: Any, **options: Any) -> Any:
        kept = await keep(*args, **options)
        gone = Refused("failed to connect", grpc.StatusCode.UNAVAILABLE)
        triton.broken |= dict.fromkeys(("sam", "text_encoder", "vae", "ip2p_unet"), gone)
        return kept

    monkeypatch.setattr(Pictures, "keep", keep_and_lose_the_models)
    monkeypatch.setattr("orchestrator.triton.endpoint._FACTS_KEPT_SECONDS", 0.0)
    _, client = await start(INTARSIA_WAIT_AWAY_SECONDS="0.1")
    result = await edited(client, click(await client.upload(png(picture))))
    assert sorted(result.manifest.weights) == ["ip2p_unet", "sam", "text_encoder", "vae"]

"""How often a job makes the database wait for its disk, through the whole orchestrator."""

from __future__ import annotations

import asyncio

import numpy as np
import pytest

from benchmarks.durable_commits import durable_commits
from intarsia.v1 import jobs_pb2
from tests.orchestrator.conftest import Client, click, png

ONCE = "4b1f0c1e-1f0e-4c57-9d5f-0d8c4d1d2a10"


@pytest.mark.parametrize("candidates", [1, 3, 8])
async def test_a_pictures_job_makes_at_most_five_durable_commits(
    client: Client, picture: np.ndarray, candidates: int
) -> None:
    name = await client.upload(png(picture))
    with durable_commits() as counted:
        job = await client.edit(click(name, candidates=candidates, request_id=ONCE))
        ended = await client.finished(job.name)
    assert ended.state == jobs_pb2.Job.STATE_SUCCEEDED
    assert 3 <= len(counted) <= 5, "a submit, a candidate and an end are among them"


async def test_looking_at_jobs_makes_no_durable_commit(client: Client, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    job = await client.edit(click(name, request_id=ONCE))
    await client.finished(job.name)
    with durable_commits() as counted:
        await client.ask(client.jobs.ListJobs(jobs_pb2.ListJobsRequest(page_size=10)))
        await client.ask(client.jobs.GetJob(jobs_pb2.GetJobRequest(name=job.name)))
        await client.finished(job.name)
        await asyncio.gather(*(client.edit(click(name, request_id=ONCE)) for _ in range(3)))
    assert counted == []

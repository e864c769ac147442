"""The other rpcs, and what every rpc has in common."""

from __future__ import annotations

import asyncio
import hashlib
import logging
from collections.abc import AsyncIterator
from typing import Any

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha.reflection_pb2 import ServerReflectionRequest
from grpc_reflection.v1alpha.reflection_pb2_grpc import ServerReflectionStub
from prometheus_client import REGISTRY

from intarsia.errors import (
    Busy,
    DigestMismatch,
    EmptyRegion,
    InternalError,
    InvalidRequest,
    NotFound,
    TimeLimit,
)
from intarsia.v1 import artifacts_pb2 as ar
from intarsia.v1 import jobs_pb2 as jb
from intarsia.v1 import region_pb2 as rg
from intarsia.v1 import segmentation_pb2 as sg
from orchestrator import logs
from orchestrator.triton.tensors import Tensors
from tests.orchestrator.conftest import Client, Start, click, png
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton

SERVING, NOT_SERVING = health_pb2.HealthCheckResponse.SERVING, health_pb2.HealthCheckResponse.NOT_SERVING


def header(data: bytes, **changes: object) -> ar.UploadArtifactRequest:
    announced = {"sha256": hashlib.sha256(data).hexdigest(), "size_bytes": len(data), **changes}
    return ar.UploadArtifactRequest(header=ar.UploadHeader(**announced))  # type: ignore[arg-type]


async def test_bytes_come_back_as_they_were_sent(client: Client) -> None:
    data = np.random.default_rng(1).bytes(3_000_000)
    name = await client.upload(data)
    assert name == f"artifacts/{hashlib.sha256(data).hexdigest()}"
    assert await client.download(name) == data
    described = await client.artifacts.GetArtifact(ar.GetArtifactRequest(name=name))
    assert described.size_bytes == len(data) and described.create_time.seconds > 0


async def test_uploads_and_downloads_say_when_their_bytes_expire(client: Client) -> None:
    pieces = [header(b"abc"), ar.UploadArtifactRequest(chunk=b"abc")]
    uploaded = await client.ask(client.artifacts.UploadArtifact(iter(pieces)))
    assert uploaded.HasField("expire_time") and uploaded.origin == ar.Artifact.ORIGIN_UPLOAD
    await client.artifacts.PinArtifact(ar.PinArtifactRequest(name=uploaded.name))
    first, *_ = [
        one async for one in client.artifacts.DownloadArtifact(ar.DownloadArtifactRequest(name=uploaded.name))
    ]
    assert first.artifact.pinned and not first.artifact.HasField("expire_time")
    assert (await client.ask(client.artifacts.UploadArtifact(iter(pieces)))).pinned


async def test_what_a_call_names_expires_later(client: Client, picture: np.ndarray) -> None:
    name, outline = await client.upload(png(picture)), await client.upload(png(picture[..., 0]))
    drawn = rg.Region(mask=rg.Mask(artifact=outline, polarity=rg.POLARITY_WHITE_INSIDE))

    async def expiry(name: str) -> int:
        listed = await client.artifacts.ListArtifacts(ar.ListArtifactsRequest())
        (found,) = [one.expire_time for one in listed.artifacts if one.name == name]
        return found.ToNanoseconds()

    for names, call in (
        ((name, outline), lambda: segment(client, name, drawn)),
        ((name,), lambda: client.download(name)),
    ):
        before = [await expiry(each) for each in names]
        await call()
        after = [await expiry(each) for each in names]
        assert all(then < now for then, now in zip(before, after, strict=True))


async def test_a_download_resumes_where_it_stopped(client: Client) -> None:
    data = np.random.default_rng(2).bytes(2_500_000)
    request = ar.DownloadArtifactRequest(name=await client.upload(data), offset=1_234_567)
    first, *rest = [answer async for answer in client.artifacts.DownloadArtifact(request)]
    assert first.artifact.size_bytes == len(data)
    assert b"".join(answer.chunk for answer in rest) == data[1_234_567:]


@pytest.mark.parametrize(
    ("pieces", "kind", "field"),
    [
        ([], InvalidRequest, "header"),
        ([ar.UploadArtifactRequest(chunk=b"abc")], InvalidRequest, "header"),
        ([header(b"abc"), header(b"abc")], InvalidRequest, "header"),
        ([header(b"abc", sha256="ABC")], InvalidRequest, "header.sha256"),
        ([header(b"abc", size_bytes=-1)], InvalidRequest, "header.size_bytes"),
        ([header(b"abc"), ar.UploadArtifactRequest(chunk=b"abd")], DigestMismatch, "header.sha256"),
        ([header(b"abc"), ar.UploadArtifactRequest(chunk=b"ab")], DigestMismatch, "header.size_bytes"),
        ([header(b"x"), ar.UploadArtifactRequest(chunk=bytes(1 << 20) + b"x")], InvalidRequest, "chunk"),
    ],
)
async def test_a_wrong_upload_is_refused(
    client: Client, pieces: list[ar.UploadArtifactRequest], kind: type[InvalidRequest], field: str
) -> None:
    with pytest.raises(kind) as caught:
        await client.ask(client.artifacts.UploadArtifact(iter(pieces)))
    assert caught.value.field == field


async def test_names_are_checked_before_they_are_looked_up(client: Client) -> None:
    with pytest.raises(InvalidRequest):
        await client.ask(client.artifacts.GetArtifact(ar.GetArtifactRequest(name="../../etc/passwd")))
    with pytest.raises(NotFound):
        await client.ask(client.artifacts.GetArtifact(ar.GetArtifactRequest(name="artifacts/" + "0" * 64)))
    with pytest.raises(InvalidRequest):
        await client.ask(client.jobs.GetJob(jb.GetJobRequest(name="jobs/7")))
    with pytest.raises(NotFound):
        await client.ask(client.jobs.GetJob(jb.GetJobRequest(name="jobs/" + "0" * 32)))


async def segment(
    client: Client, picture: str, region: rg.Region, **options: float
) -> sg.SegmentRegionResponse:
    request = sg.SegmentRegionRequest(picture=picture, region=region)
    return await client.ask(client.segmentation.SegmentRegion(request, **options))


async def test_a_region_is_found_with_every_candidate(client: Client, picture: np.ndarray) -> None:
    region = click("").region
    region.choice.index = 1
    region.shaping.grow = 3
    found = await segment(client, await client.upload(png(picture)), region)
    assert (found.width, found.height) == (160, 120)
    assert [round(instance.score, 3) for instance in found.instances] == [0.9, 0.6]
    assert found.region.score == pytest.approx(0.6)
    mask = await client.pixels(found.region.mask)
    assert np.count_nonzero(mask) == found.region.area > found.instances[1].area > found.instances[0].area


async def test_relative_coordinates_mean_the_same_place(client: Client, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    inside = {"exact": True}
    pixels = rg.Region(box=rg.Box(left=40, top=30, right=80, bottom=60, **inside))
    shares = rg.Region(
        box=rg.Box(left=0.25, top=0.25, right=0.5, bottom=0.5, **inside), units=rg.UNITS_RELATIVE
    )
    found = [await segment(client, name, region) for region in (pixels, shares)]
    assert found[0].region == found[1].region
    assert found[0].instances[0].score == 1.0


async def test_a_box_may_hang_over_the_edge(client: Client, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    found = await segment(client, name, rg.Region(box=rg.Box(left=-50, top=-50, right=60, bottom=60)))
    assert found.region.box == rg.PixelBox(left=0, top=0, right=60, bottom=60)


async def test_all_candidates_together(client: Client, picture: np.ndarray) -> None:
    region = click("").region
    region.choice.all.SetInParent()
    found = await segment(client, await client.upload(png(picture)), region)
    assert found.region.area == found.instances[1].area and found.region.score == pytest.approx(0.9)


async def test_a_region_without_a_pixel_is_not_found(client: Client, picture: np.ndarray) -> None:
    region = rg.Region(box=rg.Box(left=10.1, top=10.1, right=10.3, bottom=10.3, exact=True))
    with pytest.raises(EmptyRegion, match="the box"):
        await segment(client, await client.upload(png(picture)), region)


async def test_the_clients_deadline_reaches_the_model(
    client: Client, triton: Triton, picture: np.ndarray
) -> None:
    name = await client.upload(png(picture))
    triton.limits.clear()
    await segment(client, name, click("").region, timeout=17.0)
    assert 10e6 < triton.limits[-1] <= 18e6  # the transport rounds up


async def test_a_question_that_takes_too_long_is_given_up(
    start: Start, triton: Triton, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, client = await start(INTARSIA_SEGMENT_SECONDS="0.3", INTARSIA_SEGMENT_AT_ONCE="1")
    asked = asyncio.Event()

    async def silent(inputs: Tensors) -> AsyncIterator[Tensors]:
        asked.set()
        await asyncio.Event().wait()
        yield inputs

    monkeypatch.setattr(triton.sam, "answer", silent)
    name = await client.upload(png(picture))
    slow = asyncio.ensure_future(segment(client, name, click("").region))
    await asked.wait()
    with pytest.raises(Busy):
        await segment(client, name, click("").region)
    with pytest.raises(TimeLimit):
        await slow


async def test_jobs_are_listed_in_pages(client: Client, triton: Triton, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    jobs = [(await client.edit(click(name))).name for _ in range(3)]
    for job in jobs:
        await client.finished(job)
    page = await client.jobs.ListJobs(jb.ListJobsRequest(page_size=2))
    assert [job.name for job in page.jobs] == [jobs[2], jobs[1]]
    rest = await client.jobs.ListJobs(jb.ListJobsRequest(page_size=2, page_token=page.next_page_token))
    assert [job.name for job in rest.jobs] == [jobs[0]] and not rest.next_page_token
    failed = await client.jobs.ListJobs(jb.ListJobsRequest(states=[jb.Job.STATE_FAILED]))
    assert not failed.jobs


@pytest.mark.parametrize(
    ("request_", "field"),
    [
        (jb.ListJobsRequest(page_size=1001), "page_size"),
        (jb.ListJobsRequest(page_size=-1), "page_size"),
        (jb.ListJobsRequest(page_token="nonsense"), "page_token"),
        (jb.ListJobsRequest(states=[jb.Job.STATE_UNSPECIFIED]), "states[0]"),
    ],
)
async def test_wrong_lists_are_refused(client: Client, request_: jb.ListJobsRequest, field: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await client.ask(client.jobs.ListJobs(request_))
    assert caught.value.field == field


async def test_jobs_carry_what_their_requests_say(client: Client, picture: np.ndarray) -> None:
    name = await client.upload(png(picture))
    request_id = "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    terms = {"priority": -3, "labels": ["mural", "lot=7", "mural"], "kind": jb.Job.KIND_BATCH}
    job = await client.edit(click(name, request_id=request_id, **terms))
    assert (job.kind, job.priority, job.labels) == (jb.Job.KIND_BATCH, -3, ["lot=7", "mural"])
    again = await client.edit(click(name, request_id=request_id, priority=5))
    assert (again.name, again.priority) == (job.name, -3)
    plain = await client.edit(click(name))
    assert (plain.kind, plain.priority, plain.labels) == (jb.Job.KIND_INTERACTIVE, 0, [])
    found = await client.jobs.ListJobs(jb.ListJobsRequest(labels=["mural"], methods=["EditRegion"]))
    assert [one.name for one in found.jobs] == [job.name]


@pytest.mark.parametrize(
    ("terms", "field"),
    [
        ({"priority": 101}, "priority"),
        ({"priority": -101}, "priority"),
        ({"kind": 7}, "kind"),
        ({"labels": ["two words"]}, "labels"),
        ({"labels": ["x" * 65]}, "labels"),
        ({"labels": [f"{n}" for n in range(17)]}, "labels"),
    ],
)
async def test_a_job_with_wrong_terms_is_refused_by_their_field(
    client: Client, picture: np.ndarray, terms: dict[str, Any], field: str
) -> None:
    name = await client.upload(png(picture))
    with pytest.raises(InvalidRequest) as caught:
        await client.edit(click(name, **terms))
    assert caught.value.field == field


async def test_a_fault_shows_its_number_and_nothing_else(
    client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def broken(request: object) -> None:
        raise ZeroDivisionError("secret detail")

    monkeypatch.setattr("orchestrator.api.from_proto.segment_region", broken)
    with pytest.raises(InternalError) as caught:
        await segment(client, "", rg.Region())
    assert "secret" not in str(caught.value)
    assert any(caught.value.facts["fault"] in line and "secret" in line for line in caplog.messages)


async def test_health_follows_the_models_and_the_drain(
    start: Start, triton: Triton, monkeypatch: pytest.MonkeyPatch
) -> None:
    triton.broken["vae"] = Refused("MODEL_DOWN: loading", grpc.StatusCode.UNAVAILABLE)
    orchestrator, client = await start()
    health = health_pb2_grpc.HealthStub(client.channel)

    async def state(service: str) -> int:
        return (await health.Check(health_pb2.HealthCheckRequest(service=service))).status

    meeting = asyncio.ensure_future(orchestrator.wait_until_ready())
    assert await state("") == await state("intarsia.v1.Editing") == NOT_SERVING
    assert await state("intarsia.v1.Artifacts") == SERVING
    del triton.broken["vae"]
    await meeting
    assert await state("") == await state("intarsia.v1.Editing") == SERVING

    watching = health.Watch(health_pb2.HealthCheckRequest())
    assert (await watching.read()).status == SERVING
    stopping = asyncio.ensure_future(orchestrator.stop(5))
    assert (await watching.read()).status == NOT_SERVING
    watching.cancel()
    await stopping


async def test_reflection_lists_the_services(client: Client) -> None:
    asked = ServerReflectionRequest(list_services="")
    (answer,) = [a async for a in ServerReflectionStub(client.channel).ServerReflectionInfo(iter([asked]))]
    names = {service.name for service in answer.list_services_response.service}
    assert {f"intarsia.v1.{name}" for name in ("Artifacts", "Segmentation", "Editing", "Jobs")} <= names


async def test_every_call_is_counted_and_logged(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    def count(status: str) -> float:
        return REGISTRY.get_sample_value("intarsia_rpcs_total", {"method": "GetJob", "status": status}) or 0

    before = count("NOT_FOUND")
    caplog.set_level(logging.INFO, "orchestrator")
    with pytest.raises(NotFound):
        await client.ask(client.jobs.GetJob(jb.GetJobRequest(name="jobs/" + "0" * 32)))
    assert count("NOT_FOUND") == before + 1
    (line,) = [record for record in caplog.records if getattr(record, "facts", {}).get("rpc") == "GetJob"]
    assert line.facts["status"] == "NOT_FOUND" and line.facts["reason"] == "NOT_FOUND"  # type: ignore[attr-defined]


async def test_calls_about_a_job_are_logged_with_its_name(client: Client, picture: np.ndarray) -> None:
    told: dict[str, str] = {}

    def note(record: logging.LogRecord) -> bool:
        told[getattr(record, "facts", {}).get("rpc", "")] = logs.job.get()
        return True

    log = logging.getLogger("orchestrator.api.interceptor")
    log.setLevel(logging.INFO)
    log.addFilter(note)
    try:
        name = (await client.edit(click(await client.upload(png(picture))))).name
        await client.jobs.GetJob(jb.GetJobRequest(name=name))
        await client.finished(name)
        await client.jobs.CancelJob(jb.CancelJobRequest(name=name))
    finally:
        log.removeFilter(note)
        log.setLevel(logging.NOTSET)
    calls = ("EditRegion", "GetJob", "WatchJob", "CancelJob")
    assert told == {"UploadArtifact": "", **dict.fromkeys(calls, name)}


async def test_stages_models_and_jobs_are_measured(client: Client, picture: np.ndarray) -> None:
    def measured(name: str, **labels: str) -> float:
        return REGISTRY.get_sample_value(name, labels) or 0

    names: tuple[tuple[str, dict[str, str]], ...] = (
        ("intarsia_stage_seconds_count", {"stage": "denoise"}),
        ("intarsia_model_calls_total", {"model": "ip2p_unet"}),
        ("intarsia_model_seconds_count", {"model": "vae"}),
        ("intarsia_jobs_ended_total", {"method": "EditRegion", "state": "succeeded"}),
        ("intarsia_job_wait_seconds_count", {}),
    )
    before = [measured(name, **labels) for name, labels in names]
    job = await client.edit(click(await client.upload(png(picture))))
    await client.finished(job.name)
    after = [measured(name, **labels) for name, labels in names]
    assert [a > b for a, b in zip(after, before, strict=True)] == [True] * len(names)


@pytest.mark.parametrize("method", ["Editing/EditRegion", "Jobs/WatchJob", "Artifacts/UploadArtifact"])
async def test_bytes_that_are_no_message_are_refused_as_such(client: Client, method: str):
    kind = {"Editing": "unary_unary", "Jobs": "unary_stream", "Artifacts": "stream_unary"}
    call = getattr(client.channel, kind[method.split("/")[0]])(f"/intarsia.v1.{method}")
    noise = b"\xff\xff\xff\xff"
    with pytest.raises(grpc.aio.AioRpcError, match="cannot be read") as refused:
        if method.startswith("Jobs"):
            async for _ in call(noise):
                pass
        else:
            await call(iter([noise]) if method.startswith("Artifacts") else noise)
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT


async def test_a_message_that_is_too_large_is_refused_as_such(client: Client):
    call = client.channel.unary_unary("/intarsia.v1.Editing/EditRegion")
    with pytest.raises(grpc.aio.AioRpcError, match="at most 4194304 are taken: shorten its texts") as refused:
        await call(b"\0" * ((4 << 20) + 1))
    assert refused.value.code() is grpc.StatusCode.INVALID_ARGUMENT

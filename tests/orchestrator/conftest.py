"""A whole orchestrator in this process, in front of a Triton made of numpy."""

from __future__ import annotations

import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import numpy as np
import pytest
from PIL import Image

from intarsia import status
from intarsia.v1 import (
    artifacts_pb2,
    artifacts_pb2_grpc,
    editing_pb2,
    editing_pb2_grpc,
    jobs_pb2,
    jobs_pb2_grpc,
    region_pb2,
    segmentation_pb2_grpc,
)
from orchestrator.app import Orchestrator
from orchestrator.caller import Caller
from orchestrator.models.registry import MODELS
from orchestrator.settings import Settings
from tests.orchestrator.doubles.triton import Triton

LOCAL = Caller("local")


@dataclass
class Client:
    """Every rpc, and a few things tests do often. Errors are raised as `intarsia.errors`."""

    channel: grpc.aio.Channel

    def __post_init__(self) -> None:
        self.artifacts = artifacts_pb2_grpc.ArtifactsStub(self.channel)
        self.segmentation = segmentation_pb2_grpc.SegmentationStub(self.channel)
        self.editing = editing_pb2_grpc.EditingStub(self.channel)
        self.jobs = jobs_pb2_grpc.JobsStub(self.channel)

    async def ask(self, call: Awaitable[Any]) -> Any:
        try:
            return await call
        except grpc.aio.AioRpcError as error:
            raise status.from_rpc_error(error, "the server") from error

    async def upload(self, data: bytes) -> str:
        header = artifacts_pb2.UploadHeader(sha256=hashlib.sha256(data).hexdigest(), size_bytes=len(data))
        pieces = [artifacts_pb2.UploadArtifactRequest(header=header)]
        pieces += [
            artifacts_pb2.UploadArtifactRequest(chunk=data[at : at + 9999])
            for at in range(0, len(data), 9999)
        ]
        return (await self.ask(self.artifacts.UploadArtifact(iter(pieces)))).name

    async def download(self, name: str) -> bytes:
        request = artifacts_pb2.DownloadArtifactRequest(name=name)
        return b"".join([answer.chunk async for answer in self.artifacts.DownloadArtifact(request)])

    async def pixels(self, name: str) -> np.ndarray:
        return np.asarray(Image.open(io.BytesIO(await self.download(name))))

    async def edit(self, request: editing_pb2.EditRegionRequest) -> jobs_pb2.Job:
        return await self.ask(self.editing.EditRegion(request))

    async def follow(self, name: str) -> list[jobs_pb2.Job]:
        """Every state that a watcher is told of; the last one is final."""
        return [job async for job in self.jobs.WatchJob(jobs_pb2.WatchJobRequest(name=name))]

    async def finished(self, name: str) -> jobs_pb2.Job:
        return (await self.follow(name))[-1]


@pytest.fixture
async def triton() -> AsyncIterator[Triton]:
    async with Triton() as server:
        yield server


Start = Callable[..., Awaitable[tuple[Orchestrator, Client]]]


@pytest.fixture
async def start(triton: Triton, tmp_path: Path) -> AsyncIterator[Start]:
    """Starts orchestrators with settings of the test's choice, and ends them."""
    started: list[tuple[Orchestrator, Client]] = []

    async def with_settings(**environment: str) -> tuple[Orchestrator, Client]:
        own = {
            "INTARSIA_LISTEN": "127.0.0.1:0",
            "INTARSIA_TRITON": triton.url,
            "INTARSIA_ARTIFACTS": str(tmp_path / "artifacts"),
            "INTARSIA_JOBS_DATABASE": f"sqlite:///{tmp_path}/jobs-{len(started)}.sqlite",
            "INTARSIA_JOBS_MEMORY_MEGABYTES": "4000",  # whatever else runs on this machine
        }
        orchestrator = Orchestrator(Settings.read({**own, **environment}, MODELS))
        port = await orchestrator.start()
        client = Client(grpc.aio.insecure_channel(f"127.0.0.1:{port}"))
        started.append((orchestrator, client))
        return orchestrator, client

    yield with_settings
    for orchestrator, client in started:
        await client.channel.close()
        await orchestrator.stop(0)


@pytest.fixture
async def client(start: Start) -> Client:
    orchestrator, client = await start()
    await orchestrator.wait_until_ready()
    return client


@pytest.fixture
def picture() -> np.ndarray:
    """ResolvedSampling, so that a pixel which moved or was touched is noticed."""
    return np.random.default_rng(5).integers(0, 256, (120, 160, 3), np.uint8)


def png(pixels: np.ndarray, **options: Any) -> bytes:
    data = io.BytesIO()
    Image.fromarray(pixels).save(data, "png", **options)
    return data.getvalue()


def picture_request(kind: Any, /, **fields: Any) -> Any:
    """A request to edit or fill; fields of `PictureJob` are given beside its own."""
    shared = {
        name: fields.pop(name) for name in editing_pb2.PictureJob.DESCRIPTOR.fields_by_name if name in fields
    }
    return kind(job=editing_pb2.PictureJob(**shared), **fields)


def click(picture: str, **changes: Any) -> editing_pb2.EditRegionRequest:
    """An edit of what was clicked on, within its outline, in ten steps."""
    on = region_pb2.Clicks(clicks=[region_pb2.Click(x=80, y=60)])
    request = picture_request(
        editing_pb2.EditRegionRequest,
        picture=picture,
        region=region_pb2.Region(clicks=on, shaping=region_pb2.Shaping(keep_outline=True)),
        instruction="make it blue",
        sampling=editing_pb2.Sampling(steps=10),
    )
    request.MergeFrom(picture_request(editing_pb2.EditRegionRequest, **changes))
    return request

"""Uploads that do not end: how many may be open, and how long they may be silent."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import grpc
import pytest

from intarsia import status
from intarsia.errors import Busy, TimeLimit
from intarsia.v1 import artifacts_pb2 as pb
from intarsia.v1 import artifacts_pb2_grpc as rpc
from orchestrator.api.artifacts import Artifacts
from orchestrator.api.interceptor import CallInterceptor
from orchestrator.api.stores import Stores
from orchestrator.api.uploads import UploadLimits, Uploads
from store.artifact import Artifact, Origin
from store.disk import DiskStore
from tests.orchestrator.doubles.retention import DictionaryRetention

DATA = b"bytes of a picture"
NOW = datetime(2030, 1, 1, tzinfo=timezone.utc)
SHA256 = hashlib.sha256(DATA).hexdigest()
HEADER = pb.UploadArtifactRequest(header=pb.UploadHeader(sha256=SHA256, size_bytes=len(DATA)))
KEPT = Artifact(f"artifacts/{SHA256}", len(DATA), "", NOW, NOW, Origin.UPLOAD)


class Store(DiskStore):
    """A store that says when the first byte of an upload is written."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.folder, self.begun = folder, asyncio.Semaphore(0)

    async def put(self, chunks: AsyncIterator[bytes], **announced: Any) -> Any:
        async def noted() -> AsyncIterator[bytes]:
            async for chunk in chunks:
                yield chunk  # the draft has it when the next one is asked for
                self.begun.release()

        return await super().put(noted(), **announced)

    @property
    def drafts(self) -> list[Path]:
        return list((self.folder / "drafts").iterdir())


async def answer(call: Any) -> pb.Artifact:
    try:
        return await call
    except grpc.aio.AioRpcError as error:
        raise status.from_rpc_error(error, "the server") from error


@asynccontextmanager
async def serving(store: Store, limits: UploadLimits) -> AsyncIterator[rpc.ArtifactsStub]:
    server = grpc.aio.server(interceptors=(CallInterceptor(),))
    artifacts = Artifacts(Stores(store, DictionaryRetention(KEPT)), Uploads(limits))
    rpc.add_ArtifactsServicer_to_server(artifacts, server)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        yield rpc.ArtifactsStub(channel)
    await server.stop(None)


@pytest.mark.parametrize("sent", ["nothing", "header", "half", "empty chunks"])
async def test_an_upload_that_sends_nothing_is_ended_and_leaves_no_draft(sent: str, tmp_path: Path) -> None:
    async def messages() -> AsyncIterator[pb.UploadArtifactRequest]:
        if sent != "nothing":
            yield HEADER
        if sent == "half":
            yield pb.UploadArtifactRequest(chunk=DATA[:7])
            await store.begun.acquire()
            assert len(store.drafts) == 1
        while sent == "empty chunks":
            yield pb.UploadArtifactRequest(chunk=b"")
            await asyncio.sleep(0.02)
        await asyncio.Event().wait()

    store = Store(tmp_path)
    async with serving(store, UploadLimits(idle=0.3)) as stub:
        with pytest.raises(TimeLimit, match="INTARSIA_UPLOAD_IDLE_SECONDS"):
            await asyncio.wait_for(answer(stub.UploadArtifact(messages())), 20)
    assert store.drafts == []


async def test_an_upload_that_goes_on_is_not_ended_however_long_it_takes(tmp_path: Path) -> None:
    async def messages() -> AsyncIterator[pb.UploadArtifactRequest]:
        yield HEADER
        for at in range(0, len(DATA), 3):
            await asyncio.sleep(0.15)  # the pace of this client
            yield pb.UploadArtifactRequest(chunk=DATA[at : at + 3])

    async with serving(Store(tmp_path), UploadLimits(idle=0.5)) as stub:
        assert (await answer(stub.UploadArtifact(messages()))).name == KEPT.name


async def test_an_address_has_a_limited_number_of_uploads_open(tmp_path: Path) -> None:
    async def messages(rest: asyncio.Event) -> AsyncIterator[pb.UploadArtifactRequest]:
        yield HEADER
        yield pb.UploadArtifactRequest(chunk=DATA[:1])
        await rest.wait()
        yield pb.UploadArtifactRequest(chunk=DATA[1:])

    store, rest = Store(tmp_path), asyncio.Event()
    async with serving(store, UploadLimits(per_peer=2)) as stub:
        left, held = (stub.UploadArtifact(messages(rest)) for _ in range(2))
        for _ in range(2):
            await store.begun.acquire()
        with pytest.raises(Busy, match=r"2 uploads .* INTARSIA_UPLOADS_PER_PEER"):
            await answer(stub.UploadArtifact(messages(rest)))
        left.cancel()
        while len(store.drafts) == 2:
            await asyncio.sleep(0.01)  # no event says that the server saw the end of a call
        rest.set()
        for call in (held, stub.UploadArtifact(messages(rest))):
            assert (await answer(call)).name == KEPT.name
    assert store.drafts == []

"""`intarsia.v1.Artifacts`."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import aclosing

import grpc

from intarsia.errors import InvalidRequest
from intarsia.v1 import artifacts_pb2 as pb
from intarsia.v1 import artifacts_pb2_grpc as rpc
from orchestrator.api import fields, to_proto
from orchestrator.api.caller import caller_of
from orchestrator.api.stores import Stores
from orchestrator.api.uploads import Uploads
from store.artifact import CHUNK, Origin


class Artifacts(rpc.ArtifactsServicer):
    """Bytes in and out, and how long they stay."""

    def __init__(self, stores: Stores, uploads: Uploads) -> None:
        self._stores, self._uploads = stores, uploads

    async def UploadArtifact(
        self, request_iterator: AsyncIterator[pb.UploadArtifactRequest], context: grpc.aio.ServicerContext
    ) -> pb.Artifact:
        caller = caller_of(context)
        with self._uploads.open(caller, context.peer(), aiter(request_iterator)) as pieces:
            first = await anext(pieces, None)
            if first is None or first.WhichOneof("piece") != "header":
                raise InvalidRequest(
                    "the first message must be the header; chunks come after it", field="header"
                )
            header = first.header
            stored = await self._stores.of(caller).put(
                _chunks(pieces),
                sha256=header.sha256,
                size=header.size_bytes,
                media_type=header.media_type,
                origin=Origin.UPLOAD,
            )
        return to_proto.artifact(await self._stores.retention_of(caller).describe(stored.name))

    async def DownloadArtifact(
        self, request: pb.DownloadArtifactRequest, context: grpc.aio.ServicerContext
    ) -> AsyncIterator[pb.DownloadArtifactResponse]:
        caller = caller_of(context)
        name = fields.artifact(request.name, "name")
        stored = await self._stores.retention_of(caller).describe(name)
        offset = fields.in_range(request.offset, "offset", 0, stored.size)
        yield pb.DownloadArtifactResponse(artifact=to_proto.artifact(stored))
        async with aclosing(self._stores.of(caller).read(name, offset)) as chunks:
            async for chunk in chunks:
                yield pb.DownloadArtifactResponse(chunk=chunk)

    async def GetArtifact(
        self, request: pb.GetArtifactRequest, context: grpc.aio.ServicerContext
    ) -> pb.Artifact:
        caller = caller_of(context)
        name = fields.artifact(request.name, "name")
        # Who asks may be about to name it instead of sending it: this counts as a use.
        return to_proto.artifact(await self._stores.retention_of(caller).describe(name))

    async def ListArtifacts(
        self, request: pb.ListArtifactsRequest, context: grpc.aio.ServicerContext
    ) -> pb.ListArtifactsResponse:
        caller = caller_of(context)
        page = await self._stores.retention_of(caller).list(
            size=fields.page_size(request.page_size),
            token=request.page_token,
            pinned=request.pinned,
        )
        artifacts = [to_proto.artifact(artifact) for artifact in page.artifacts]
        return pb.ListArtifactsResponse(artifacts=artifacts, next_page_token=page.next_token)

    async def PinArtifact(
        self, request: pb.PinArtifactRequest, context: grpc.aio.ServicerContext
    ) -> pb.Artifact:
        caller = caller_of(context)
        name = fields.artifact(request.name, "name")
        return to_proto.artifact(await self._stores.retention_of(caller).pin(name))

    async def UnpinArtifact(
        self, request: pb.UnpinArtifactRequest, context: grpc.aio.ServicerContext
    ) -> pb.Artifact:
        caller = caller_of(context)
        name = fields.artifact(request.name, "name")
        return to_proto.artifact(await self._stores.retention_of(caller).unpin(name))

    async def DeleteArtifact(
        self, request: pb.DeleteArtifactRequest, context: grpc.aio.ServicerContext
    ) -> pb.DeleteArtifactResponse:
        caller = caller_of(context)
        name = fields.artifact(request.name, "name")
        await self._stores.retention_of(caller).delete(name)
        return pb.DeleteArtifactResponse()


async def _chunks(pieces: AsyncIterator[pb.UploadArtifactRequest]) -> AsyncIterator[bytes]:
    async for message in pieces:
        if message.WhichOneof("piece") != "chunk":
            raise InvalidRequest("the header comes once, as the first message", field="header")
        if len(message.chunk) > CHUNK:
            raise InvalidRequest(
                f"a chunk may have {CHUNK} bytes and has {len(message.chunk)}; send smaller ones",
                field="chunk",
            )
        yield message.chunk

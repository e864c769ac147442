"""Artifacts in memory."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any

from intarsia import errors
from intarsia.v1 import artifacts_pb2, artifacts_pb2_grpc
from tests.intarsia.double.fault import Fault
from tests.intarsia.double.recorded_calls import RecordedCalls

EXPIRES = 2_000_000_000  # seconds since 1970, in 2033


class ArtifactsDouble(RecordedCalls, artifacts_pb2_grpc.ArtifactsServicer):
    """Keeps bytes by their digest, and sends them in chunks of `chunk` bytes."""

    def __init__(self) -> None:
        super().__init__()
        self.stored: dict[str, bytes] = {}
        self.pinned: set[str] = set()
        self.chunk = 1000

    def keep(self, content: bytes) -> str:
        name = f"artifacts/{hashlib.sha256(content).hexdigest()}"
        self.stored[name] = content
        return name

    def UploadArtifact(self, pieces: Iterator[Any], context: Any) -> artifacts_pb2.Artifact:
        header = next(pieces).header
        fault = self._arrived("UploadArtifact", header, context)
        received = []
        for piece in pieces:
            received.append(piece.chunk)
            if fault and len(received) == fault.after_chunks:
                fault.strike(context)
        content = b"".join(received)
        if hashlib.sha256(content).hexdigest() != header.sha256 or len(content) != header.size_bytes:
            Fault(errors.DigestMismatch("other bytes than announced", field="header.sha256")).strike(context)
        return self._artifact(self.keep(content))

    def DownloadArtifact(self, request: Any, context: Any) -> Iterator[Any]:
        fault = self._arrived("DownloadArtifact", request, context)
        self._stored(request.name, context)
        yield artifacts_pb2.DownloadArtifactResponse(artifact=self._artifact(request.name))
        content = self.stored[request.name]
        for number, at in enumerate(range(request.offset, len(content), self.chunk)):
            if fault and number == fault.after_chunks:
                fault.strike(context)
            yield artifacts_pb2.DownloadArtifactResponse(chunk=content[at : at + self.chunk])

    def GetArtifact(self, request: Any, context: Any) -> artifacts_pb2.Artifact:
        self._arrived("GetArtifact", request, context)
        return self._artifact(self._stored(request.name, context))

    def ListArtifacts(self, request: Any, context: Any) -> artifacts_pb2.ListArtifactsResponse:
        self._arrived("ListArtifacts", request, context)
        found = [name for name in reversed(self.stored) if name in self.pinned or not request.pinned]
        start = int(request.page_token or 0)
        end = start + request.page_size
        return artifacts_pb2.ListArtifactsResponse(
            artifacts=[self._artifact(name) for name in found[start:end]],
            next_page_token=str(end) if end < len(found) else "",
        )

    def PinArtifact(self, request: Any, context: Any) -> artifacts_pb2.Artifact:
        self._arrived("PinArtifact", request, context)
        self.pinned.add(self._stored(request.name, context))
        return self._artifact(request.name)

    def UnpinArtifact(self, request: Any, context: Any) -> artifacts_pb2.Artifact:
        self._arrived("UnpinArtifact", request, context)
        self.pinned.discard(self._stored(request.name, context))
        return self._artifact(request.name)

    def DeleteArtifact(self, request: Any, context: Any) -> artifacts_pb2.DeleteArtifactResponse:
        fault = self._arrived("DeleteArtifact", request, context)
        if self._stored(request.name, context) in self.pinned:
            Fault(errors.NotReady("it is pinned; unpin it first")).strike(context)
        del self.stored[request.name]
        if fault:
            fault.strike(context)
        return artifacts_pb2.DeleteArtifactResponse()

    def _stored(self, name: str, context: Any) -> str:
        if name not in self.stored:
            Fault(errors.NotFound(f"no {name}")).strike(context)
        return name

    def _artifact(self, name: str) -> artifacts_pb2.Artifact:
        made = artifacts_pb2.Artifact(name=name, size_bytes=len(self.stored[name]), media_type="image/png")
        made.pinned, made.origin = name in self.pinned, artifacts_pb2.Artifact.ORIGIN_UPLOAD
        if not made.pinned:
            made.expire_time.FromSeconds(EXPIRES)
        return made

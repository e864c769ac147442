"""Uploads: how many of them a peer may have open, and how long one may send nothing."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from intarsia.errors import Busy, TimeLimit
from intarsia.v1.artifacts_pb2 import UploadArtifactRequest
from orchestrator.caller import Caller


@dataclass(frozen=True)
class UploadLimits:
    """`per_peer`: the most uploads that one address may have open; `idle`: the seconds in which an upload
    must send at least a byte."""

    per_peer: int = 32
    idle: float = 60.0


class Uploads:
    """The uploads that are open, by their caller and the address that they come from."""

    def __init__(self, limits: UploadLimits) -> None:
        self._limits = limits
        self._open: Counter[tuple[Caller, str]] = Counter()

    @contextmanager
    def open(
        self, caller: Caller, peer: str, arriving: AsyncIterator[UploadArtifactRequest]
    ) -> Iterator[AsyncIterator[UploadArtifactRequest]]:
        """Gives the messages of an upload as they arrive. `peer` is what gRPC says, `ipv4:10.0.0.7:41234`.

        Raises `Busy` if its address has too many open, and `TimeLimit` when no byte comes for too long; the
        time that we take to store them does not count.
        """
        place = caller, peer.rpartition(":")[0]
        if self._open[place] >= self._limits.per_peer:
            raise Busy(
                f"{self._open[place]} uploads from your address are open already; wait until one ends, or "
                "raise the server's INTARSIA_UPLOADS_PER_PEER"
            )
        self._open[place] += 1
        try:
            yield self._messages(arriving)
        finally:
            self._open[place] -= 1
            self._open += Counter()  # drops addresses that have none

    async def _messages(
        self, arriving: AsyncIterator[UploadArtifactRequest]
    ) -> AsyncIterator[UploadArtifactRequest]:
        loop, idle = asyncio.get_running_loop(), self._limits.idle
        until = loop.time() + idle
        while True:
            try:
                message = await asyncio.wait_for(anext(arriving, None), until - loop.time())
            except asyncio.TimeoutError:
                raise TimeLimit(
                    f"the upload sent nothing for {idle:g} s and was ended; nothing was kept, send it again "
                    "(INTARSIA_UPLOAD_IDLE_SECONDS of the server says how long it waits)"
                ) from None
            if message is None:
                return
            yield message
            if message.chunk or message.WhichOneof("piece") == "header":
                until = loop.time() + idle

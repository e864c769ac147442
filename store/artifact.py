"""The artifact store as the rest of the orchestrator sees it."""

from __future__ import annotations

import re
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Protocol

from intarsia.errors import InvalidRequest

# The most bytes a reader gets at once: what fits one message on the wire.
CHUNK = 1 << 20
PREFIX = "artifacts/"

_DIGEST = re.compile("[0-9a-f]{64}")


@dataclass(frozen=True)
class Artifact:
    """Bytes in the store. `created` is when they were first stored, in UTC."""

    name: str
    size: int
    media_type: str
    created: datetime


class ArtifactStore(Protocol):
    """Bytes named by their own SHA-256: `artifacts/` and 64 lower-case hexadecimal digits.

    The same bytes are stored once, so putting them again is harmless, and nothing ever changes under a
    name. Names that cannot be raise `InvalidRequest`, names nobody stored `NotFound`. Bytes once found
    damaged are not found any more; putting them again mends them.
    """

    async def put(
        self, chunks: AsyncIterator[bytes], *, sha256: str | None, size: int | None, media_type: str
    ) -> Artifact:
        """Stores a stream. Unless it has the digest and the length announced, nothing is kept.

        An empty `media_type` is recognised from the bytes. Raises `DigestMismatch`; `InvalidRequest` for
        more bytes than the store takes; `Busy` when there is no room.
        """

    async def put_bytes(self, data: bytes | Sequence[bytes], media_type: str) -> Artifact:
        """Stores bytes at hand, whole or in pieces that follow each other."""

    async def put_file(self, path: Path, media_type: str) -> Artifact:
        """Takes a finished file out of a scratch folder into the store, without copying its bytes.

        Nobody may write to it any more.
        """

    async def describe(self, name: str) -> Artifact:
        """What is known about an artifact, without reading it."""

    def read(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """The bytes from `offset` on, in chunks of at most 1 MiB.

        Read from the start, they are checked against their name: `DataLoss` comes after the last chunk.
        """

    async def load(self, name: str) -> bytes:
        """All bytes at once, checked: damaged ones raise `DataLoss` and are not returned."""

    def local(self, name: str) -> AbstractAsyncContextManager[Path]:
        """The bytes as a file that may be read, not written, while the context is open.

        They are checked before it is entered, as by `read`, and are never in memory as a whole.
        """

    def scratch(self) -> AbstractAsyncContextManager[Path]:
        """A private folder, empty at first, for files that become artifacts by `put_file`.

        It is removed afterwards with whatever is in it, by when nobody may write there any more. A full
        disk met inside is `Busy`, as everywhere in the store.
        """


def digest_of(name: str, *, field: str = "name") -> str:
    """The SHA-256 in an artifact's name; `field` is what a malformed name is blamed on."""
    digest = name.removeprefix(PREFIX)
    if digest == name or not _DIGEST.fullmatch(digest):
        raise InvalidRequest(
            f"{name[:100]!r} is not an artifact's name: that is `artifacts/` and the SHA-256 of the bytes "
            "in 64 lower-case hexadecimal digits",
            field=field,
        )
    return digest


def check_header(sha256: str | None, size: int | None, media_type: str, *, largest: int) -> None:
    """Refuses an announcement that cannot come true, before any byte arrives."""
    if sha256 is not None and not _DIGEST.fullmatch(sha256):
        raise InvalidRequest(
            f"sha256 must be 64 lower-case hexadecimal digits, got {sha256[:100]!r}", field="header.sha256"
        )
    if size is not None and size < 0:
        raise InvalidRequest(f"size must not be negative, got {size}", field="header.size_bytes")
    if size is not None and size > largest:
        raise too_large(largest)
    if media_type and not re.fullmatch(r"[a-z0-9.+-]{1,60}/[a-z0-9.+-]{1,60}", media_type):
        raise InvalidRequest(
            f"{media_type[:100]!r} is not a media type, for example `image/png`; leave it empty to have it "
            "recognised",
            field="header.media_type",
        )


def too_large(largest: int) -> InvalidRequest:
    return InvalidRequest(
        f"this server stores files of at most {largest} bytes; send a smaller file",
        field="header.size_bytes",
        largest=largest,
    )


def outgrown(size: int, largest: int) -> InvalidRequest:
    """For what was made here: no field of its request is to blame alone."""
    return InvalidRequest(
        f"what was made has {size} bytes, and this server stores files of at most {largest} bytes; "
        "ask for less",
        size=size,
        largest=largest,
    )

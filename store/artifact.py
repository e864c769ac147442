"""The interface of the artifact store: files by the SHA-256 of their bytes."""

from __future__ import annotations

import hashlib
import re
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from datetime import datetime
from enum import Enum
from pathlib import Path
from typing import Protocol

from intarsia.errors import InvalidRequest

# The most bytes a reader gets at once: as many as fit one gRPC message.
CHUNK = 1 << 20
PREFIX = "artifacts/"

_DIGEST = re.compile("[0-9a-f]{64}")


class Origin(Enum):
    """Where bytes come from, the least lasting first. Bytes of several origins have the most lasting one."""

    PREVIEW = "preview"
    INTERMEDIATE = "intermediate"
    RESULT = "result"
    UPLOAD = "upload"

    def outlasts(self, other: Origin) -> bool:
        order = list(Origin)
        return order.index(self) > order.index(other)


@dataclass(frozen=True)
class Artifact:
    """Bytes in the store. `created` is when they were first stored, `used` when they were last stored or
    named by somebody, both in UTC. They are not deleted while they are `pinned`.

    `expires` is when they may be removed, unless a job uses them until then; None if something keeps them:
    they are pinned, or a job or a kept result refers to them. Only `Retention` knows it.
    """

    name: str
    size: int
    media_type: str
    created: datetime
    used: datetime
    origin: Origin
    pinned: bool = False
    expires: datetime | None = None


class ArtifactStore(Protocol):
    """Stores bytes under their own SHA-256: `artifacts/` and 64 lower-case hexadecimal digits.

    The same bytes are stored once, so storing them again is harmless, and the bytes under a name never
    change. A malformed name raises `InvalidRequest`, an unknown one `NotFound`. Once bytes are found damaged
    their name counts as unknown; storing them again repairs them.
    """

    @property
    def identity(self) -> str:
        """What distinguishes this store from every other; it is written when the store is first opened."""

    async def put(
        self,
        chunks: AsyncIterator[bytes],
        *,
        sha256: str | None,
        size: int | None,
        media_type: str,
        origin: Origin = Origin.RESULT,
    ) -> Artifact:
        """Stores a stream. Nothing is stored unless its digest and length are those announced.

        An empty `media_type` is recognised from the bytes. Raises `DigestMismatch`; `InvalidRequest` for
        more bytes than the store accepts; `Busy` if the disk is full.
        """

    async def put_bytes(
        self, data: bytes | Sequence[bytes], media_type: str, *, origin: Origin = Origin.RESULT
    ) -> Artifact:
        """Stores bytes, in one piece or in several that follow each other."""

    async def put_file(self, path: Path, media_type: str, *, origin: Origin = Origin.RESULT) -> Artifact:
        """Moves a finished file out of a scratch folder into the store, without copying its bytes.

        The file must not be written to afterwards.
        """

    async def describe(self, name: str) -> Artifact:
        """Returns an artifact's size, media type and age, without reading its bytes."""

    def read(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        """Yields the bytes from `offset` on, in chunks of at most 1 MiB.

        Read from the start, they are checked against their name: `DataLoss` is raised after the last chunk.
        """

    async def load(self, name: str) -> bytes:
        """Returns all bytes, checked against their name; raises `DataLoss` if they are damaged."""

    def local(self, name: str, *, checked: bool = True) -> AbstractAsyncContextManager[Path]:
        """Gives the bytes as a file that may be read, not written, while the context is open.

        They are checked before the context is entered, as by `read`, unless only a look at them is wanted,
        and are never in memory as a whole.
        """

    async def use(self, name: str) -> Artifact:
        """Describes an artifact and notes that it was named just now."""

    async def list(self, *, after: str = "", size: int) -> tuple[Artifact, ...]:
        """Returns the first artifacts in the order of their names, of those behind the name `after`.

        Pages that follow each other repeat nothing, and leave nothing out that is there all the time.
        """

    async def pin(self, name: str) -> Artifact:
        """Keeps an artifact until it is unpinned; it stays pinned when its bytes are stored again."""

    async def unpin(self, name: str) -> Artifact:
        """Ends what `pin` began; harmless for what is not pinned."""

    async def pinned(self, names: Collection[str]) -> Collection[str]:
        """Returns those of these artifacts that are there and pinned, whatever else is known of them."""

    async def delete(
        self,
        artifacts: Sequence[Artifact],
        *,
        needed: Callable[[Sequence[str]], Awaitable[Collection[str]]],
    ) -> tuple[Artifact, ...]:
        """Deletes artifacts as they were described, and returns those that are deleted.

        What was stored or named since, is pinned, or is being used at this moment, stays; so does what
        `needed` returns of the names it is given, asked while nobody can begin to use them. Those that are
        used least recently go first. A crash leaves each artifact whole or deleted.
        """

    def retain(self, names: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """Keeps artifacts from being deleted while the context is open, and notes that they were named.

        Raises `NotFound` for the first that is not there.
        """

    def freeze(self, names: Sequence[str]) -> AbstractAsyncContextManager[None]:
        """While the context is open, nobody else can store, pin, retain or delete anything of these names.

        Raises `Busy` if somebody else does for longer than a few seconds.
        """

    async def tidy(self, before: datetime) -> int:
        """Removes what crashes left behind and damaged bytes moved aside before then; returns how many
        files there were."""

    def scratch(self) -> AbstractAsyncContextManager[Path]:
        """Gives a private folder, empty at first, for files that become artifacts by `put_file`.

        It is removed afterwards with everything in it; nothing may write there any more by then. A full
        disk raises `Busy` inside, as everywhere in the store.
        """


def name_of(data: bytes) -> str:
    """Returns the name that bytes have once they are stored."""
    return PREFIX + hashlib.sha256(data).hexdigest()


def digest_of(name: str, *, field: str = "name") -> str:
    """Returns the SHA-256 in an artifact's name; `field` is the field that an error names."""
    digest = name.removeprefix(PREFIX)
    if digest == name or not _DIGEST.fullmatch(digest):
        raise InvalidRequest(
            f"{name[:100]!r} is not an artifact's name: that is `artifacts/` and the SHA-256 of the bytes "
            "in 64 lower-case hexadecimal digits",
            field=field,
        )
    return digest


def check_header(sha256: str | None, size: int | None, media_type: str, *, largest: int) -> None:
    """Rejects an invalid header of an upload, before any byte arrives."""
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


def result_too_large(size: int, largest: int) -> InvalidRequest:
    """The error for a result of the server's own: no single field of its request is wrong."""
    return InvalidRequest(
        f"the result has {size} bytes, and this server stores files of at most {largest} bytes; "
        "use a smaller picture or fewer results",
        size=size,
        largest=largest,
    )

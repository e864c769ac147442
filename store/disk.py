"""The artifact store in a folder.

    <folder>/objects/9f/9f86d081…          the bytes
    <folder>/objects/9f/9f86d081….json     their description; its time is when they were last used
    <folder>/objects/9f/9f86d081….pinned   empty: they are not deleted
    <folder>/objects/9f/9f86d081….damaged  bytes that were found damaged, moved aside
    <folder>/drafts/                       files being written, and scratch folders
    <folder>/identity                      what distinguishes this store from others
    <folder>/lock                          locks on names, for all processes

Several processes may share a folder. Blocking calls run in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Collection, Sequence
from contextlib import aclosing, asynccontextmanager
from datetime import datetime
from pathlib import Path

from intarsia.errors import DigestMismatch, InvalidRequest
from store.artifact import Artifact, Origin, check_header, digest_of, result_too_large, too_large
from store.contents import load, quarantine, read_chunk
from store.description import Description
from store.disk_space import DiskSpace, disk_full_is_busy
from store.draft import Draft
from store.entries import Entries
from store.identity import read_or_draw
from store.lock import locked, locked_where_free
from store.media_type import OPENING, recognise
from store.publish import publish
from store.scratch import Scratch, sweep

# The bytes that a scratch folder hardly ever needs more of.
_SCRATCH = 1 << 30


class DiskStore:
    """An `ArtifactStore` in a folder."""

    def __init__(self, folder: Path, *, largest: int = 4 << 30) -> None:
        """Opens the folder, creating it if needed, and removes what a crash left behind.

        `largest` is the most bytes an artifact may have.
        """
        self._drafts, self._lock, self._largest = folder / "drafts", folder / "lock", largest
        self.space = DiskSpace(folder)
        self._drafts.mkdir(parents=True, exist_ok=True)
        sweep(self._drafts)
        self._identity, since = read_or_draw(folder, self._drafts)
        self._entries = Entries(folder / "objects", since)

    @property
    def identity(self) -> str:
        return self._identity

    async def put(
        self,
        chunks: AsyncIterator[bytes],
        *,
        sha256: str | None,
        size: int | None,
        media_type: str,
        origin: Origin = Origin.RESULT,
    ) -> Artifact:
        check_header(sha256, size, media_type, largest=self._largest)
        await self.space.reserve(size or 0)
        opening = b""
        async with self._draft() as draft:
            async for chunk in chunks:
                if draft.size + len(chunk) > self._largest:
                    raise too_large(self._largest)
                if size is not None and draft.size + len(chunk) > size:
                    raise DigestMismatch(
                        f"more bytes arrived than the {size} announced; nothing was kept",
                        field="header.size_bytes",
                    )
                opening += chunk[: OPENING - len(opening)]
                await self.space.run(draft.write, chunk)
            if size is not None and draft.size != size:
                raise DigestMismatch(
                    f"{draft.size} bytes arrived, {size} were announced; nothing was kept",
                    field="header.size_bytes",
                )
            if sha256 is not None and draft.sha256 != sha256:
                raise DigestMismatch(
                    f"the bytes that arrived have the SHA-256 {draft.sha256}, announced was {sha256}; "
                    "nothing was kept, send them again",
                    field="header.sha256",
                )
            return await self._publish(draft, Description.new(media_type or recognise(opening), origin))

    async def put_bytes(
        self, data: bytes | Sequence[bytes], media_type: str, *, origin: Origin = Origin.RESULT
    ) -> Artifact:
        pieces = [data] if isinstance(data, bytes) else data
        if (size := sum(map(len, pieces))) > self._largest:
            raise result_too_large(size, self._largest)
        async with self._draft() as draft:
            await self.space.run(draft.write, *pieces)
            media_type = media_type or recognise(pieces[0][:OPENING])
            return await self._publish(draft, Description.new(media_type, origin))

    async def put_file(self, path: Path, media_type: str, *, origin: Origin = Origin.RESULT) -> Artifact:
        if (size := (await asyncio.to_thread(path.stat)).st_size) > self._largest:
            raise result_too_large(size, self._largest)
        async with self._draft() as draft:
            await asyncio.to_thread(draft.adopt, path)
            return await self._publish(draft, Description.new(media_type, origin))

    async def describe(self, name: str) -> Artifact:
        return await asyncio.to_thread(self._entries.describe, digest_of(name))

    async def read(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        digest = digest_of(name)
        artifact = await asyncio.to_thread(self._entries.describe, digest)
        if not 0 <= offset <= artifact.size:
            raise InvalidRequest(
                f"offset must be in [0, {artifact.size}], the artifact's length; got {offset}", field="offset"
            )
        seen = hashlib.sha256() if offset == 0 else None
        # No file stays open between chunks: a reader may stop asking at any time.
        while chunk := await asyncio.to_thread(read_chunk, self._entries, digest, offset, seen):
            yield chunk
            offset += len(chunk)
        if seen is not None and seen.hexdigest() != digest:
            raise await asyncio.to_thread(quarantine, self._entries, digest)

    async def load(self, name: str) -> bytes:
        return await asyncio.to_thread(load, self._entries, digest_of(name))

    @asynccontextmanager
    async def local(self, name: str, *, checked: bool = True) -> AsyncIterator[Path]:
        if checked:
            async with aclosing(self.read(name)) as chunks:
                async for _ in chunks:
                    pass  # read to the end, they are checked
        else:
            await self.describe(name)
        yield self._entries.bytes_of(digest_of(name))

    async def use(self, name: str) -> Artifact:
        digest = digest_of(name)
        async with locked(self._lock, [digest], exclusive=False):
            return await asyncio.to_thread(self._use, digest)

    async def list(self, *, after: str = "", size: int) -> tuple[Artifact, ...]:
        digest = digest_of(after, field="page_token") if after else ""
        return tuple(await asyncio.to_thread(self._entries.after, digest, size))

    async def pin(self, name: str) -> Artifact:
        return await self._change(name, self._entries.pin)

    async def unpin(self, name: str) -> Artifact:
        return await self._change(name, self._entries.unpin)

    async def pinned(self, names: Collection[str]) -> Collection[str]:
        return await asyncio.to_thread(
            lambda: [name for name in names if self._entries.is_pinned(digest_of(name))]
        )

    async def delete(
        self, artifacts: Sequence[Artifact], *, needed: Callable[[Sequence[str]], Awaitable[Collection[str]]]
    ) -> tuple[Artifact, ...]:
        oldest_first = sorted(artifacts, key=lambda artifact: artifact.used)
        async with locked_where_free(self._lock, [digest_of(one.name) for one in oldest_first]) as free:
            candidates = [one for one in oldest_first if digest_of(one.name) in free]
            stay = set(await needed([one.name for one in candidates])) if candidates else set()
            go = [one for one in candidates if one.name not in stay]
            return tuple(await asyncio.to_thread(lambda: list(filter(self._entries.delete, go))))

    @asynccontextmanager
    async def retain(self, names: Sequence[str]) -> AsyncIterator[None]:
        digests = [digest_of(name) for name in names]
        async with locked(self._lock, digests, exclusive=False):
            await asyncio.to_thread(lambda: [self._use(digest) for digest in dict.fromkeys(digests)])
            yield

    @asynccontextmanager
    async def freeze(self, names: Sequence[str]) -> AsyncIterator[None]:
        async with locked(self._lock, [digest_of(name) for name in names], exclusive=True):
            yield

    async def tidy(self, before: datetime) -> int:
        await asyncio.to_thread(sweep, self._drafts)
        digests = await asyncio.to_thread(lambda: list(self._entries.leftovers(before)))
        if not digests:
            return 0
        async with locked_where_free(self._lock, digests) as free:
            return await asyncio.to_thread(self._tidy, before, free)

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        scratch = Scratch(self._drafts)
        # What is written there cannot be written again when the disk is full.
        await self.space.reserve(_SCRATCH)
        try:
            path = await self.space.run(scratch.make)
            with disk_full_is_busy():
                yield path
        finally:
            await asyncio.shield(asyncio.to_thread(scratch.discard))

    @asynccontextmanager
    async def _draft(self) -> AsyncIterator[Draft]:
        """Gives a draft, and discards it afterwards if it was not published."""
        draft = Draft(self._drafts)
        try:
            yield draft
        finally:
            await asyncio.shield(asyncio.to_thread(draft.discard))

    async def _change(self, name: str, change: Callable[[str], None]) -> Artifact:
        """Changes what is known of an artifact that is there, and describes it."""
        digest = digest_of(name)
        async with locked(self._lock, [digest], exclusive=False):
            await asyncio.to_thread(self._entries.describe, digest)
            await self.space.run(change, digest)
            return await asyncio.to_thread(self._entries.describe, digest)

    def _use(self, digest: str) -> Artifact:
        self._entries.describe(digest)  # that there are bytes, and not only a description
        self._entries.touch(digest)
        return self._entries.describe(digest)

    def _tidy(self, before: datetime, digests: Collection[str]) -> int:
        # Looked for once more: some may have been stored again before they were locked.
        found = self._entries.leftovers(before)
        files = [file for digest in digests for file in found.get(digest, ())]
        for file in files:
            file.unlink(missing_ok=True)
        return len(files)

    async def _publish(self, draft: Draft, description: Description) -> Artifact:
        async with locked(self._lock, [draft.sha256], exclusive=False):
            try:
                return await self.space.run(
                    publish, draft, description, self._entries, self._drafts, self._lock
                )
            finally:  # cancelled, it still runs; it must be over before the lock is
                await asyncio.shield(asyncio.to_thread(draft.discard))

"""The artifact store in a folder.

    <folder>/objects/9f/9f86d081…          the bytes
    <folder>/objects/9f/9f86d081….json     their media type and when they were first stored
    <folder>/objects/9f/9f86d081….damaged  bytes that were found damaged, moved aside
    <folder>/drafts/                       files being written, and scratch folders

Several processes may share a folder. Blocking calls run in threads.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager, suppress
from datetime import datetime, timezone
from pathlib import Path

from intarsia.errors import DataLoss, DigestMismatch, InvalidRequest, NotFound
from store.artifact import CHUNK, PREFIX, Artifact, check_header, digest_of, result_too_large, too_large
from store.draft import Draft, disk_full_is_busy, sync_all
from store.media_type import OPENING, recognise
from store.scratch import Scratch, sweep


class DiskStore:
    """An `ArtifactStore` in a folder."""

    def __init__(self, folder: Path, *, largest: int = 4 << 30) -> None:
        """Opens the folder, creating it if needed, and removes what a crash left behind.

        `largest` is the most bytes an artifact may have.
        """
        self._objects, self._drafts, self._largest = folder / "objects", folder / "drafts", largest
        self._objects.mkdir(parents=True, exist_ok=True)
        self._drafts.mkdir(exist_ok=True)
        sweep(self._drafts)

    async def put(
        self, chunks: AsyncIterator[bytes], *, sha256: str | None, size: int | None, media_type: str
    ) -> Artifact:
        check_header(sha256, size, media_type, largest=self._largest)
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
                await asyncio.to_thread(draft.write, chunk)
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
            return await asyncio.to_thread(self._publish, draft, media_type or recognise(opening))

    async def put_bytes(self, data: bytes | Sequence[bytes], media_type: str) -> Artifact:
        pieces = [data] if isinstance(data, bytes) else data
        if (size := sum(map(len, pieces))) > self._largest:
            raise result_too_large(size, self._largest)
        async with self._draft() as draft:
            return await asyncio.to_thread(self._publish_pieces, draft, pieces, media_type)

    async def put_file(self, path: Path, media_type: str) -> Artifact:
        if (size := (await asyncio.to_thread(path.stat)).st_size) > self._largest:
            raise result_too_large(size, self._largest)
        async with self._draft() as draft:
            await asyncio.to_thread(draft.adopt, path)
            return await asyncio.to_thread(self._publish, draft, media_type)

    async def describe(self, name: str) -> Artifact:
        return await asyncio.to_thread(self._describe, digest_of(name))

    async def read(self, name: str, offset: int = 0) -> AsyncGenerator[bytes, None]:
        digest = digest_of(name)
        artifact = await asyncio.to_thread(self._describe, digest)
        if not 0 <= offset <= artifact.size:
            raise InvalidRequest(
                f"offset must be in [0, {artifact.size}], the artifact's length; got {offset}", field="offset"
            )
        seen = hashlib.sha256() if offset == 0 else None
        # No file stays open between chunks: a reader may stop asking at any time.
        while chunk := await asyncio.to_thread(self._chunk, digest, offset, seen):
            yield chunk
            offset += len(chunk)
        if seen is not None and seen.hexdigest() != digest:
            raise await asyncio.to_thread(self._quarantine, digest)

    async def load(self, name: str) -> bytes:
        return await asyncio.to_thread(self._load, digest_of(name))

    @asynccontextmanager
    async def local(self, name: str, *, checked: bool = True) -> AsyncIterator[Path]:
        if checked:
            async with aclosing(self.read(name)) as chunks:
                async for _ in chunks:
                    pass  # read to the end, they are checked
        else:
            await self.describe(name)
        yield self._bytes(digest_of(name))

    @asynccontextmanager
    async def scratch(self) -> AsyncIterator[Path]:
        scratch = Scratch(self._drafts)
        try:
            path = await asyncio.to_thread(scratch.make)
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

    def _publish_pieces(self, draft: Draft, pieces: Sequence[bytes], media_type: str) -> Artifact:
        draft.write(*pieces)
        return self._publish(draft, media_type or recognise(pieces[0][:OPENING]))

    def _publish(self, draft: Draft, media_type: str) -> Artifact:
        digest = draft.sha256
        # The description comes first: bytes without one cannot be seen.
        if not self._described(digest):
            now = datetime.now(timezone.utc).isoformat()
            description = Draft(self._drafts)
            try:
                description.write(json.dumps({"media_type": media_type, "created": now}).encode())
                sync_all(description, draft)
                if not draft.ended:  # else the caller was cancelled, and nothing is kept
                    description.publish(self._description(digest), sync_folder=False)
            finally:
                description.discard()
        # Bytes that are there already are replaced by the same bytes: this repairs damaged ones.
        draft.publish(self._bytes(digest))
        return self._describe(digest)

    def _described(self, digest: str) -> bool:
        """True if there is a description that can be read, even if the bytes are not there yet."""
        try:
            self._facts(digest)
        except (FileNotFoundError, DataLoss):
            return False
        return True

    def _facts(self, digest: str) -> tuple[str, datetime]:
        """The media type, and the time when it was first stored."""
        facts = self._description(digest).read_bytes()
        try:
            found = json.loads(facts)
            return str(found["media_type"]), datetime.fromisoformat(found["created"])
        except (ValueError, KeyError, TypeError) as error:
            raise _damaged(digest) from error

    def _describe(self, digest: str) -> Artifact:
        try:
            size = self._bytes(digest).stat().st_size
            media_type, created = self._facts(digest)
        except FileNotFoundError:
            raise _unknown(digest) from None
        return Artifact(PREFIX + digest, size, media_type, created)

    def _chunk(self, digest: str, offset: int, seen: hashlib._Hash | None) -> bytes:
        try:
            with open(self._bytes(digest), "rb", buffering=0) as file:
                file.seek(offset)
                chunk = file.read(CHUNK)
        except FileNotFoundError:
            raise _unknown(digest) from None
        if seen is not None:
            seen.update(chunk)
        return chunk

    def _load(self, digest: str) -> bytes:
        try:
            data = self._bytes(digest).read_bytes()
        except FileNotFoundError:
            raise _unknown(digest) from None
        if hashlib.sha256(data).hexdigest() != digest:
            raise self._quarantine(digest)
        return data

    def _quarantine(self, digest: str) -> DataLoss:
        """Moves damaged bytes aside, so that their name is unknown until they are stored again.

        They are read once more: another upload may have repaired them meanwhile.
        """
        path = self._bytes(digest)
        with suppress(FileNotFoundError), open(path, "rb") as file:
            seen = hashlib.sha256()
            while chunk := file.read(CHUNK):
                seen.update(chunk)
            if seen.hexdigest() != digest and os.path.samestat(os.fstat(file.fileno()), path.stat()):
                os.replace(path, path.with_name(f"{digest}.damaged"))
        return _damaged(digest)

    def _bytes(self, digest: str) -> Path:
        return self._objects / digest[:2] / digest

    def _description(self, digest: str) -> Path:
        return self._objects / digest[:2] / f"{digest}.json"


def _unknown(digest: str) -> NotFound:
    return NotFound(f"there is no artifact `{PREFIX}{digest}` here; upload it first")


def _damaged(digest: str) -> DataLoss:
    return DataLoss(f"the stored bytes of `{PREFIX}{digest}` are damaged; upload them again to repair them")

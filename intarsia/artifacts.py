"""Artifacts: bytes named by their own digest, of any size, in constant memory."""

from __future__ import annotations

import hashlib
import io
import os
import re
import shutil
import tempfile
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractContextManager, aclosing, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, BinaryIO

from intarsia import errors, from_proto, pixels
from intarsia.results import ArtifactInfo
from intarsia.retry import Calls
from intarsia.v1.artifacts_pb2 import (
    DeleteArtifactRequest,
    DownloadArtifactRequest,
    GetArtifactRequest,
    ListArtifactsRequest,
    PinArtifactRequest,
    UnpinArtifactRequest,
    UploadArtifactRequest,
    UploadHeader,
)

Source = str | os.PathLike[str] | bytes | BinaryIO
Progress = Callable[[int, int], None]  # bytes so far, bytes in all

CHUNK = 1 << 20  # the most bytes of one message
SLOWEST = 64 << 10  # bytes per second; slower transfers time out


def is_name(text: object) -> bool:
    """True for an artifact's name, `artifacts/` and 64 hexadecimal digits."""
    return isinstance(text, str) and re.fullmatch(r"artifacts/[0-9a-f]{64}", text) is not None


@dataclass(frozen=True)
class Content:
    """Bytes to send, with size and digest; `open` starts at the first of them again."""

    sha256: str
    size: int
    open: Callable[[], AbstractContextManager[BinaryIO]]

    @property
    def name(self) -> str:
        return f"artifacts/{self.sha256}"


def measure(source: Source) -> Content:
    """The size and digest of a file, of bytes or of an open binary file (from its position)."""
    opener = _opener(source)
    digest, size = hashlib.sha256(), 0
    with opener() as file:
        while chunk := file.read(CHUNK):
            digest.update(chunk)
            size += len(chunk)
    return Content(digest.hexdigest(), size, opener)


def _measured(source: Any) -> Content:
    """As `measure`, for PIL images and arrays as well."""
    return measure(pixels.encoded(source))


def _opener(source: Source) -> Callable[[], AbstractContextManager[BinaryIO]]:
    if isinstance(source, bytes):
        held: bytes = source
        return lambda: io.BytesIO(held)
    if isinstance(source, str | os.PathLike):
        path = Path(source)
        return lambda: path.open("rb")
    file = source if source.seekable() else _spooled(source)
    start = file.tell()

    def again() -> AbstractContextManager[BinaryIO]:
        file.seek(start)
        return nullcontext(file)

    return again


def _spooled(pipe: BinaryIO) -> BinaryIO:
    """A pipe's bytes in a temporary file, since they are read twice."""
    spool = tempfile.TemporaryFile()  # noqa: SIM115
    shutil.copyfileobj(pipe, spool, CHUNK)
    spool.seek(0)
    return spool


async def get(calls: Calls, name: str) -> ArtifactInfo:
    request = GetArtifactRequest(name=name)
    return from_proto.artifact(await calls.unary(calls.artifacts.GetArtifact, request))


async def listing(calls: Calls, pinned: bool, page_size: int) -> AsyncGenerator[ArtifactInfo, None]:
    """Artifacts, newest first, page by page as they are needed."""
    request = ListArtifactsRequest(page_size=page_size, pinned=pinned)
    while True:
        page = await calls.unary(calls.artifacts.ListArtifacts, request)
        for artifact in page.artifacts:
            yield from_proto.artifact(artifact)
        if not page.next_page_token:
            return
        request.page_token = page.next_page_token


async def pin(calls: Calls, name: str) -> ArtifactInfo:
    request = PinArtifactRequest(name=name)
    return from_proto.artifact(await calls.unary(calls.artifacts.PinArtifact, request))


async def unpin(calls: Calls, name: str) -> ArtifactInfo:
    request = UnpinArtifactRequest(name=name)
    return from_proto.artifact(await calls.unary(calls.artifacts.UnpinArtifact, request))


async def delete(calls: Calls, name: str) -> None:
    request, attempts, repeated = DeleteArtifactRequest(name=name), calls.attempts(calls.timeout), False
    while True:
        try:
            await calls.unary_once(calls.artifacts.DeleteArtifact, request, attempts.time_left())
            return
        except errors.NotFound:
            if not repeated:
                raise
            return  # an attempt before has deleted it, and its response was lost
        except errors.ModelDown as error:
            await attempts.failed(error)
            repeated = True


async def upload(calls: Calls, source: Any, media_type: str, progress: Progress | None) -> ArtifactInfo:
    """Uploads bytes unless the server has them undamaged; asks again after a broken transfer."""
    content = await calls.transport.in_thread(_measured, source)
    stored, attempts = GetArtifactRequest(name=content.name), calls.attempts(None)
    while True:
        try:
            try:
                message = await calls.unary_once(calls.artifacts.GetArtifact, stored, calls.timeout)
                return from_proto.artifact(message)
            except (errors.NotFound, errors.DataLoss):
                return await _send(calls, content, media_type, progress)
        except errors.ModelDown as error:
            await attempts.failed(error)


async def _send(calls: Calls, content: Content, media_type: str, progress: Progress | None) -> ArtifactInfo:
    """Sends everything. An exception while reading ends the stream early, and is raised afterwards."""
    failures: list[Exception] = []

    async def pieces() -> AsyncGenerator[UploadArtifactRequest, None]:
        header = UploadHeader(sha256=content.sha256, size_bytes=content.size, media_type=media_type)
        yield UploadArtifactRequest(header=header)
        sent = 0
        try:
            with await calls.transport.in_thread(content.open) as file:
                while chunk := await calls.transport.in_thread(file.read, CHUNK):
                    yield UploadArtifactRequest(chunk=chunk)
                    sent += len(chunk)
                    if progress is not None:
                        progress(sent, content.size)
        except Exception as error:  # whatever a file or a callback raises, gRPC would hide
            failures.append(error)

    try:
        timeout = calls.timeout + content.size / SLOWEST
        message = await calls.transport.client_stream(calls.artifacts.UploadArtifact, pieces(), timeout)
        return from_proto.artifact(message)
    finally:
        if failures:
            raise failures[0]


async def chunks(
    calls: Calls, name: str, *, start: int = 0, digest: Any = None, progress: Progress | None = None
) -> AsyncGenerator[bytes, None]:
    """An artifact's bytes in order, from `start`; a broken stream continues where it stopped.

    `digest` is the SHA-256 object of the bytes before `start`. Raises `DataLoss` after the last chunk
    if the whole is not what the name says.
    """
    digest = hashlib.sha256() if digest is None else digest
    size = (await get(calls, name)).size_bytes
    attempts, done = calls.attempts(None), start
    while done < size:
        timeout = calls.timeout + (size - done) / SLOWEST
        request = DownloadArtifactRequest(name=name, offset=done)
        try:
            async with aclosing(
                calls.server_stream(calls.artifacts.DownloadArtifact, request, timeout)
            ) as stream:
                async for response in stream:
                    if response.chunk:  # the first message describes the artifact
                        digest.update(response.chunk)
                        done += len(response.chunk)
                        attempts.succeeded()
                        if progress is not None:
                            progress(done, size)
                        yield response.chunk
            if done < size:
                raise errors.ModelDown(f"the stream of {name} ended early, at byte {done}; try again")
        except errors.ModelDown as error:
            await attempts.failed(error)
    if name != f"artifacts/{digest.hexdigest()}":
        raise errors.DataLoss(
            f"the bytes received for {name} have the digest {digest.hexdigest()}; fetch it again, and if "
            "that does not help, upload it again: the stored copy is damaged"
        )


async def read(calls: Calls, name: str) -> bytes:
    received = io.BytesIO()
    async with aclosing(chunks(calls, name)) as stream:
        async for chunk in stream:
            received.write(chunk)
    return received.getvalue()


async def download(calls: Calls, name: str, to: Path, progress: Progress | None) -> Path:
    """Writes an artifact to a file, which appears only when it is complete and its digest is right.

    The bytes so far are in `.<file>.<digest>.part` beside it, and a later download continues from there,
    even after a crash. Two downloads at the same time write the same bytes to the same offsets. A link stays
    a link: its target is written. A device or a pipe gets the bytes as they arrive.
    """
    if not is_name(name):
        raise errors.InvalidRequest(
            f"{name!r} is not the name of an artifact: artifacts/ and 64 hexadecimal digits",
            field="name",
        )
    if to.exists() and not to.is_file():
        await _write_through(calls, name, to, progress)
        return to
    target = Path(os.path.realpath(to))
    part = target.with_name(f".{target.name}.{name[-64:][:16]}.part")
    try:
        if part.exists():
            with suppress(errors.DataLoss):  # the part file is damaged: start again
                await _complete(calls, name, part, target, progress)
                return to
            part.unlink(missing_ok=True)
        await _complete(calls, name, part, target, progress)
        return to
    except errors.DataLoss:
        part.unlink(missing_ok=True)
        raise
    finally:
        if part.exists() and part.stat().st_size == 0:
            part.unlink(missing_ok=True)


async def _write_through(calls: Calls, name: str, to: Path, progress: Progress | None) -> None:
    in_thread = calls.transport.in_thread
    with await in_thread(to.open, "wb") as file:
        async with aclosing(chunks(calls, name, progress=progress)) as stream:
            async for chunk in stream:
                await in_thread(file.write, chunk)


async def _complete(calls: Calls, name: str, part: Path, to: Path, progress: Progress | None) -> None:
    in_thread = calls.transport.in_thread
    with await in_thread(_open_part, part) as file:
        digest = await in_thread(_digest_of, file)
        stream = chunks(calls, name, start=file.tell(), digest=digest, progress=progress)
        async with aclosing(stream):
            async for chunk in stream:
                await in_thread(file.write, chunk)
    if not (to.exists() and not part.exists()):  # unless another download of the same has just finished
        os.replace(part, to)


def _open_part(part: Path) -> BinaryIO:
    """The file, open for reading and writing; created if it does not exist, never truncated."""
    return os.fdopen(os.open(part, os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0), 0o666), "r+b")


def _digest_of(file: BinaryIO) -> Any:
    digest = hashlib.sha256()
    while chunk := file.read(CHUNK):
        digest.update(chunk)
    return digest

"""Transfers: once, whole, right, and in constant memory."""

from __future__ import annotations

import hashlib
import io
import os
import subprocess
import sys
import threading
from datetime import datetime, timezone
from pathlib import Path

import grpc
import pytest

import intarsia
from intarsia import errors
from intarsia.artifacts import CHUNK, Source
from tests.intarsia.double import EXPIRES, Double, Fault

BROKEN = Fault(grpc.StatusCode.UNAVAILABLE, after_chunks=2)


def content(size: int) -> bytes:
    return hashlib.shake_128(b"seed").digest(size)


@pytest.mark.parametrize("size", [0, 1, CHUNK, CHUNK + 1, 3 * CHUNK])
def test_what_is_uploaded_comes_back(client: intarsia.Client, size: int) -> None:
    artifact = client.upload(content(size))
    assert artifact.name == f"artifacts/{hashlib.sha256(content(size)).hexdigest()}"
    assert artifact.size_bytes == size
    assert client.read(artifact.name) == content(size)


def test_a_path_bytes_a_file_and_a_pipe_are_the_same_artifact(
    client: intarsia.Client, double: Double, photo: Path
) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, photo.read_bytes())
    os.close(write_end)
    with photo.open("rb") as file, os.fdopen(read_end, "rb") as pipe:
        sources: list[Source] = [photo, str(photo), photo.read_bytes(), file, pipe]
        names = []
        for source in sources:
            double.stored.clear()
            names.append(client.upload(source).name)
            assert double.stored[names[-1]] == photo.read_bytes()
    assert len(set(names)) == 1


def test_a_file_is_sent_from_where_it_stands(client: intarsia.Client, double: Double) -> None:
    file = io.BytesIO(b"skip this, send this")
    file.seek(11)
    assert double.stored[client.upload(file).name] == b"send this"


def test_bytes_that_the_server_has_are_not_sent_again(client: intarsia.Client, double: Double) -> None:
    assert client.upload(b"twice") == client.upload(b"twice")
    assert len(double.requests("UploadArtifact")) == 1


def test_bytes_that_are_damaged_there_are_sent_again(client: intarsia.Client, double: Double) -> None:
    double.faults["GetArtifact"].append(Fault(errors.DataLoss("damaged; upload them again to mend them")))
    assert double.stored[client.upload(b"a picture").name] == b"a picture"


def test_a_broken_upload_starts_again(client: intarsia.Client, double: Double) -> None:
    double.faults["UploadArtifact"] += [BROKEN, BROKEN]
    progress: list[tuple[int, int]] = []
    artifact = client.upload(content(4 * CHUNK), progress=lambda *seen: progress.append(seen))
    assert double.stored[artifact.name] == content(4 * CHUNK)
    assert len(double.requests("UploadArtifact")) == 3
    assert progress[-1] == (4 * CHUNK, 4 * CHUNK)


def test_an_upload_gives_up_when_patience_ends(client: intarsia.Client, double: Double) -> None:
    double.faults["UploadArtifact"] += [BROKEN] * 9
    with pytest.raises(errors.ModelDown):
        client.upload(content(3 * CHUNK))
    assert len(double.requests("UploadArtifact")) == 4


def test_an_upload_to_a_closed_connection_ends(client: intarsia.Client, double: Double) -> None:
    double.faults["GetArtifact"] += [Fault(grpc.StatusCode.UNAVAILABLE)] * 99
    with pytest.raises(errors.ModelDown):
        client.upload(b"a picture")
    assert len(double.asked) == 4


def test_a_file_that_changes_while_it_is_sent_is_refused(client: intarsia.Client, photo: Path) -> None:
    class Fickle(io.BytesIO):
        def seek(self, *where: int) -> int:
            self.getbuffer()[:1] = b"X" if self.tell() else b"a"
            return super().seek(*where)

    with pytest.raises(errors.DigestMismatch) as caught:
        client.upload(Fickle(b"a picture"))
    assert caught.value.field == "header.sha256"


class Unreadable(io.BytesIO):
    """Can be read once; later only its first chunk."""

    starts = 0

    def seek(self, *where: int) -> int:
        self.starts += 1
        return super().seek(*where)

    def read(self, size: int | None = -1) -> bytes:
        if self.starts > 1 and self.tell():
            raise OSError("the disk is gone")
        return super().read(size)


def test_an_error_of_the_source_is_raised(client: intarsia.Client, double: Double) -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        client.upload(Unreadable(content(2 * CHUNK)))
    assert double.stored == {} and len(double.requests("UploadArtifact")) == 1


async def test_in_asyncio_too_an_error_of_the_source_is_raised(
    async_client: intarsia.AsyncClient, double: Double
) -> None:
    with pytest.raises(OSError, match="the disk is gone"):
        await async_client.upload(Unreadable(content(2 * CHUNK)))
    assert double.stored == {} and len(double.requests("UploadArtifact")) == 1


def test_an_error_of_the_progress_callback_is_raised(client: intarsia.Client) -> None:
    def fails(done: int, size: int) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        client.upload(content(5), progress=fails)


async def test_in_asyncio_files_are_read_in_threads_and_progress_is_reported_in_the_loop(
    async_client: intarsia.AsyncClient, double: Double
) -> None:
    readers, told = set(), set()

    class Watched(io.BytesIO):
        def read(self, size: int | None = -1) -> bytes:
            readers.add(threading.current_thread())
            return super().read(size)

    artifact = await async_client.upload(
        Watched(content(3 * CHUNK)), progress=lambda *_: told.add(threading.current_thread())
    )
    assert double.stored[artifact.name] == content(3 * CHUNK)
    assert threading.current_thread() not in readers and told == {threading.current_thread()}


def test_a_broken_download_resumes_where_it_stopped(
    client: intarsia.Client, double: Double, tmp_path: Path
) -> None:
    name = double.keep(content(10_500))
    double.faults["DownloadArtifact"] += [
        BROKEN
    ] * 5  # more than the policy's attempts, but each brings something
    assert client.download(name, to=tmp_path / "whole").read_bytes() == content(10_500)
    offsets = [request.offset for request in double.requests("DownloadArtifact")]
    assert offsets == [0, 2000, 4000, 6000, 8000, 10_000]


async def test_a_broken_download_resumes_in_asyncio_too(
    async_client: intarsia.AsyncClient, double: Double, tmp_path: Path
) -> None:
    name = double.keep(content(5_500))
    double.faults["DownloadArtifact"] += [BROKEN] * 2
    path = await async_client.download(name, to=tmp_path / "whole")
    assert path.read_bytes() == content(5_500)
    assert await async_client.read(name) == content(5_500)


def test_a_later_download_resumes_an_earlier_one(
    client: intarsia.Client, double: Double, tmp_path: Path
) -> None:
    name, target = double.keep(content(9_000)), tmp_path / "whole"
    double.faults["DownloadArtifact"] += [BROKEN] + [Fault(grpc.StatusCode.UNAVAILABLE)] * 3
    with pytest.raises(errors.ModelDown):
        client.download(name, to=target)
    assert not target.exists()
    double.asked.clear()
    assert client.download(name, to=target).read_bytes() == content(9_000)
    assert [request.offset for request in double.requests("DownloadArtifact")] == [2000]
    assert list(tmp_path.iterdir()) == [target]


def test_a_damaged_leftover_is_thrown_away(client: intarsia.Client, double: Double, tmp_path: Path) -> None:
    name, target = double.keep(content(5_000)), tmp_path / "whole"
    (tmp_path / f".whole.{name[-64:][:16]}.part").write_bytes(b"not the beginning of it")
    assert client.download(name, to=target).read_bytes() == content(5_000)


def test_wrong_bytes_never_become_a_file(client: intarsia.Client, double: Double, tmp_path: Path) -> None:
    name = double.keep(content(3_000))
    double.stored[name] = bytes(3_000)
    with pytest.raises(errors.DataLoss, match=name):
        client.download(name, to=tmp_path / "whole")
    assert list(tmp_path.iterdir()) == []
    with pytest.raises(errors.DataLoss):
        client.read(name)


def test_an_existing_file_stays_until_the_new_one_is_whole(
    client: intarsia.Client, double: Double, tmp_path: Path
) -> None:
    target = tmp_path / "out.png"
    target.write_bytes(b"old")
    with pytest.raises(errors.NotFound):
        client.download(f"artifacts/{'0' * 64}", to=target)
    assert target.read_bytes() == b"old"
    client.download(double.keep(b"new"), to=target)
    assert target.read_bytes() == b"new"
    assert list(tmp_path.iterdir()) == [target]


def test_a_link_stays_a_link(client: intarsia.Client, double: Double, tmp_path: Path) -> None:
    target, link = tmp_path / "elsewhere" / "out.png", tmp_path / "out.png"
    target.parent.mkdir()
    link.symlink_to(target)
    for content in (b"the first", b"the second"):
        assert client.download(double.keep(content), to=link) == link
        assert link.is_symlink() and target.read_bytes() == content
    assert list(target.parent.iterdir()) == [target]


def test_a_pipe_with_a_name_gets_the_bytes_and_stays(
    client: intarsia.Client, double: Double, tmp_path: Path
) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with open(os.open(pipe, os.O_RDONLY | os.O_NONBLOCK), "rb", buffering=0) as reader:
        client.download(double.keep(content(5_000)), to=pipe)
        assert reader.read(9_000) == content(5_000)
    assert pipe.is_fifo() and list(tmp_path.iterdir()) == [pipe]


def test_what_is_stored_is_listed_page_by_page(client: intarsia.Client, double: Double) -> None:
    names = [double.keep(b"%d" % n) for n in range(5)][::-1]
    found = client.list_artifacts(page_size=2)
    first = next(found)
    assert (first.name, first.origin, first.pinned) == (names[0], "upload", False)
    assert first.expire_time == datetime.fromtimestamp(EXPIRES, timezone.utc)
    assert len(double.requests("ListArtifacts")) == 1
    assert [artifact.name for artifact in found] == names[1:]
    assert len(double.requests("ListArtifacts")) == 3


def test_what_is_pinned_stays(client: intarsia.Client, double: Double) -> None:
    stored, other = client.upload(b"a picture"), client.upload(b"another")
    assert client.pin(stored).pinned and client.pin(stored.name).expire_time is None
    assert [artifact.name for artifact in client.list_artifacts(pinned=True)] == [stored.name]
    with pytest.raises(errors.NotReady, match="unpin"):
        client.delete(stored)
    assert not client.unpin(stored).pinned
    client.delete(stored)
    assert set(double.stored) == {other.name}
    for call in (client.pin, client.unpin, client.delete):
        with pytest.raises(errors.NotFound):
            call(stored)


async def test_artifacts_are_listed_pinned_and_deleted_in_asyncio_too(
    async_client: intarsia.AsyncClient,
) -> None:
    stored = await async_client.upload(b"a picture")
    assert (await async_client.pin(stored)).pinned and not (await async_client.unpin(stored)).pinned
    assert [artifact.name async for artifact in async_client.list_artifacts()] == [stored.name]
    await async_client.delete(stored)
    assert [artifact async for artifact in async_client.list_artifacts()] == []


def test_a_delete_whose_response_was_lost_has_worked(client: intarsia.Client, double: Double) -> None:
    name = double.keep(b"a picture")
    double.faults["DeleteArtifact"].append(Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True))
    client.delete(name)
    assert len(double.requests("DeleteArtifact")) == 2 and not double.stored


def test_an_invalid_name_is_refused_before_any_call(
    client: intarsia.Client, double: Double, tmp_path: Path
) -> None:
    with pytest.raises(errors.InvalidRequest, match="64"):
        client.download("artifacts/short", to=tmp_path / "x")
    assert double.asked == []


def test_memory_stays_flat_whatever_the_size(server: str, double: Double, tmp_path: Path) -> None:
    """128 MiB there and back, in a process whose memory grows by a small part of that."""
    big, back = tmp_path / "big", tmp_path / "back"
    with big.open("wb") as file:
        for number in range(128):
            file.write(number.to_bytes(4, "little") * (CHUNK // 4))
    double.chunk = CHUNK
    code = (
        "import sys, intarsia\n"
        "def peak():\n"
        "    with open('/proc/self/status') as status:\n"
        "        return next(int(line.split()[1]) // 1024 for line in status if line.startswith('VmHWM'))\n"
        "server, big, back = sys.argv[1:]\n"
        "with intarsia.Client(server) as client:\n"
        "    client.read(client.upload(b'small').name)\n"
        "    before = peak()\n"
        "    client.download(client.upload(big).name, to=back)\n"
        "print(peak() - before)\n"
    )
    ran = subprocess.run(
        [sys.executable, "-c", code, server, big, back], capture_output=True, text=True, check=True
    )
    assert hashlib.sha256(back.read_bytes()).digest() == hashlib.sha256(big.read_bytes()).digest()
    assert int(ran.stdout) < 64

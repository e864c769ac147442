"""The files of each artifact in a store's folder, found by digest. Everything here blocks."""

from __future__ import annotations

import os
import re
import time
from collections.abc import Iterator
from datetime import datetime, timedelta, timezone
from pathlib import Path

from intarsia.errors import DataLoss, NotFound
from store.artifact import PREFIX, Artifact, Origin
from store.description import Description
from store.disk_space import disk_full_is_busy
from store.draft import sync_folder
from store.media_type import UNKNOWN

_EPOCH = datetime.fromtimestamp(0, timezone.utc)
_FILE = re.compile(r"(?P<digest>[0-9a-f]{64})(\.(json|pinned|damaged))?")


class Entries:
    """The folder `objects` of a store. Who changes an entry holds its lock."""

    def __init__(self, folder: Path, since: int = 0) -> None:
        """What was used before `since`, in nanoseconds since 1970, counts as used then: whoever has kept a
        store for years has as long as everybody else to pin what is in it."""
        self._folder, self._since = folder, since
        folder.mkdir(parents=True, exist_ok=True)

    def bytes_of(self, digest: str) -> Path:
        return Path(self._path(digest))

    def description_of(self, digest: str) -> Path:
        return Path(self._path(digest, ".json"))

    def damaged_of(self, digest: str) -> Path:
        return Path(self._path(digest, ".damaged"))

    def describe(self, digest: str, *, or_lost: bool = False) -> Artifact:
        """Raises `NotFound` without bytes, and `DataLoss` if the description cannot be read; with `or_lost`
        such an artifact is described by what is left."""
        try:
            size = os.stat(self._path(digest)).st_size
            used, text = self._read(digest)
        except FileNotFoundError:
            raise unknown(digest) from None
        try:
            known = Description.read(text)
        except ValueError as error:
            if not or_lost:
                raise damaged(digest) from error
            known = Description(UNKNOWN, _time(used), Origin.UPLOAD)
        return Artifact(
            name=PREFIX + digest,
            size=size,
            media_type=known.media_type,
            created=known.created,
            used=_time(max(used, self._since)),
            origin=known.origin,
            pinned=os.path.exists(self._path(digest, ".pinned")),
        )

    def known(self, digest: str) -> Description | None:
        """The description, if there is one that can be read, even if the bytes are not there yet."""
        try:
            return Description.read(self._read(digest)[1])
        except (FileNotFoundError, ValueError):
            return None

    def touch(self, digest: str, *, durable: bool = False) -> None:
        """Notes that bytes are used now; if `durable`, a crash does not forget it."""
        try:
            file = os.open(self.description_of(digest), os.O_RDWR)
        except FileNotFoundError:
            raise unknown(digest) from None
        try:
            now = time.time_ns()
            os.utime(file, ns=(now, now))
            if durable:
                os.fsync(file)
        finally:
            os.close(file)

    def pin(self, digest: str) -> None:
        with disk_full_is_busy():
            self._pin(digest).touch(0o640)
            sync_folder(self._pin(digest).parent)

    def unpin(self, digest: str) -> None:
        self._pin(digest).unlink(missing_ok=True)
        sync_folder(self._pin(digest).parent)

    def is_pinned(self, digest: str) -> bool:
        return self._pin(digest).exists() and self.bytes_of(digest).exists()

    def after(self, digest: str, size: int) -> list[Artifact]:
        """The first artifacts behind a digest, in the order of their digests."""
        found: list[Artifact] = []
        for folder in self._folders():
            if folder.name < digest[:2]:
                continue
            for name in sorted(name for name in os.listdir(folder) if len(name) == 64 and name > digest):
                if (artifact := self._look(name)) is not None:
                    found.append(artifact)
                if len(found) == size:
                    return found
        return found

    def delete(self, artifact: Artifact) -> bool:
        """Deletes an artifact unless it was used or pinned since it was described; True if it did.

        The bytes go first: what a crash leaves of the entry cannot be seen, and storing them again mends it.
        """
        digest = artifact.name.removeprefix(PREFIX)
        now = self._look(digest)
        if now is None or now.pinned or now.used != artifact.used:
            return False
        self.bytes_of(digest).unlink()
        self.description_of(digest).unlink(missing_ok=True)
        self.damaged_of(digest).unlink(missing_ok=True)
        return True

    def leftovers(self, before: datetime) -> dict[str, list[Path]]:
        """The files that a crash or damage left, by digest: those without bytes, and damaged bytes, if
        nothing of them changed since `before`."""
        found: dict[str, list[Path]] = {}
        for folder in self._folders():
            names = set(os.listdir(folder))
            for name in names:
                match = _FILE.fullmatch(name)
                if match is None or name == match["digest"]:
                    continue
                if match["digest"] not in names or name.endswith(".damaged"):
                    found.setdefault(match["digest"], []).append(folder / name)
        return {
            digest: files
            for digest, files in found.items()
            if all(_changed(file) < before.timestamp() for file in files)
        }

    def _folders(self) -> Iterator[Path]:
        return iter(sorted(path for path in self._folder.iterdir() if len(path.name) == 2))

    def _look(self, digest: str) -> Artifact | None:
        """An artifact as it is, if it is there."""
        try:
            return self.describe(digest, or_lost=True)
        except NotFound:
            return None

    def _read(self, digest: str) -> tuple[int, bytes]:
        """The time of a description's file, in nanoseconds since 1970, and its text."""
        with open(self._path(digest, ".json"), "rb", buffering=0) as file:
            return os.fstat(file.fileno()).st_mtime_ns, file.read()

    def _pin(self, digest: str) -> Path:
        return Path(self._path(digest, ".pinned"))

    def _path(self, digest: str, suffix: str = "") -> str:
        """A string: with many artifacts, joining a `Path` takes longer than looking at its file."""
        return f"{self._folder}/{digest[:2]}/{digest}{suffix}"


def unknown(digest: str) -> NotFound:
    return NotFound(f"there is no artifact `{PREFIX}{digest}` here; upload it first")


def damaged(digest: str) -> DataLoss:
    return DataLoss(f"the stored bytes of `{PREFIX}{digest}` are damaged; upload them again to repair them")


def _time(nanoseconds: int) -> datetime:
    return _EPOCH + timedelta(microseconds=nanoseconds // 1000)


def _changed(file: Path) -> float:
    """When a file was last changed; now, if it is gone."""
    try:
        return file.stat().st_mtime
    except FileNotFoundError:
        return time.time()

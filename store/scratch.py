"""Scratch folders, for files that are not yet artifacts; and removal of what dead writers left behind."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

from intarsia.errors import InternalError
from store.disk_space import disk_full_is_busy
from store.draft import create_locked

_SUFFIX = ".scratch"
_MODE = 0o750


class Scratch:
    """A private folder beside a lock file of the same name, locked for as long as its owner lives.

    All methods block, and are safe to call from any thread.
    """

    def __init__(self, folder: Path) -> None:
        """Does not touch the disk yet."""
        self._folder = folder
        self._guard = threading.Lock()
        self._open: tuple[Path, int] | None = None
        self._ended = False

    def make(self) -> Path:
        """Creates the folder, empty."""
        with self._guard, disk_full_is_busy():
            if self._ended:
                raise InternalError("a scratch folder was discarded before it was made")
            if self._open is None:  # a second call continues where a full disk ended the first
                self._open = create_locked(self._folder)
            path, _ = self._open
            _folder_of(path).mkdir(_MODE)
        return _folder_of(path)

    def discard(self) -> None:
        """Removes the folder and everything in it. Nothing may write there any more."""
        with self._guard:
            self._ended = True
            if self._open is None:
                return
            path, file = self._open
            try:
                _remove(path)
            finally:
                os.close(file)


def sweep(folder: Path) -> int:
    """Removes drafts and scratch folders whose writers are dead; returns how many there were."""
    swept = 0
    for path in folder.iterdir():
        if path.suffix == _SUFFIX:
            continue  # removed together with its lock file
        try:
            file = os.open(path, os.O_RDWR)
        except FileNotFoundError:
            continue  # published, discarded or swept by another process meanwhile
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            _remove(path)
            swept += 1
        except BlockingIOError:
            continue  # its writer lives
        finally:
            os.close(file)
    return swept


def _folder_of(path: Path) -> Path:
    return path.with_suffix(_SUFFIX)


def _remove(path: Path) -> None:
    """Removes the folder first: while it exists, its lock file leads a sweep to it."""
    if _folder_of(path).exists():
        shutil.rmtree(_folder_of(path))
    path.unlink(missing_ok=True)

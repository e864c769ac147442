"""Scratch folders, for files that are no artifacts yet; and sweeping up after writers that died."""

from __future__ import annotations

import fcntl
import os
import shutil
import threading
from pathlib import Path

from intarsia.errors import InternalError
from store.draft import locked, room

_SUFFIX = ".scratch"
_MODE = 0o750


class Scratch:
    """A private folder beside a file of its name, locked for as long as its owner lives.

    All methods block and may be called from any thread.
    """

    def __init__(self, folder: Path) -> None:
        """Touches no disk yet."""
        self._folder = folder
        self._guard = threading.Lock()
        self._open: tuple[Path, int] | None = None
        self._ended = False

    def make(self) -> Path:
        """Makes the folder, empty."""
        with self._guard, room():
            if self._ended:
                raise InternalError("a scratch folder was discarded before it was made")
            self._open = path, _ = locked(self._folder)
            _beside(path).mkdir(_MODE)
        return _beside(path)

    def discard(self) -> None:
        """Removes the folder and what is in it. Nobody may write there any more."""
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
    """Removes drafts and scratch folders whose writers are gone; how many there were."""
    swept = 0
    for path in folder.iterdir():
        if path.suffix == _SUFFIX:
            continue  # goes with its file
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


def _beside(path: Path) -> Path:
    return path.with_suffix(_SUFFIX)


def _remove(path: Path) -> None:
    """The folder first: as long as it is there, its file leads a sweep to it."""
    if _beside(path).exists():
        shutil.rmtree(_beside(path))
    path.unlink(missing_ok=True)

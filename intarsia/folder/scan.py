"""Scanning: which pictures lie in a folder, and in the folders below it.

Only names are read. Names that begin with a dot are hidden, here as in a shell.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

ENDINGS = {
    ".png": "image/png",
    ".jpg": "image/jpeg",
    ".jpeg": "image/jpeg",
    ".webp": "image/webp",
    ".tif": "image/tiff",
    ".tiff": "image/tiff",
}


@dataclass
class Scan:
    """What lies in a folder, by paths relative to it with `/` between their parts."""

    files: list[str] = field(default_factory=list)  # in alphabetical order
    unread: dict[str, str] = field(default_factory=dict)  # what should have been read and was not, and why


def scan(folder: Path, *, closed: Iterable[Path] = ()) -> Scan:
    """Every picture in and below a folder, but for those in `closed` folders, however they are reached.

    Links are followed, after all that is reached without them. No folder is read twice, so links that
    lead in circles come to an end, and a picture has one name.
    """
    shut = [path for path in closed if not within(folder, path)]
    found, read = Scan(), set[tuple[int, int]]()
    plain, linked = deque([""]), deque[str]()
    while plain or linked:
        inside = (plain or linked).popleft()
        path = os.path.join(folder, inside)
        try:
            if any(within(path, one) for one in shut):
                continue
            facts = os.stat(path)
            if (facts.st_dev, facts.st_ino) in read:
                continue
            read.add((facts.st_dev, facts.st_ino))
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            found.unread[inside or "."] = _why(error)
            continue
        for entry in entries:
            name = f"{inside}/{entry.name}" if inside else entry.name
            if entry.name.startswith("."):
                continue
            try:
                if entry.is_dir():
                    (linked if entry.is_symlink() else plain).append(name)
                elif os.path.splitext(entry.name)[1].lower() in ENDINGS:
                    if entry.is_file():
                        found.files.append(name)
                    else:
                        found.unread[name] = "this is no file, or a link that leads nowhere"
            except OSError as error:
                found.unread[name] = _why(error)
    found.files.sort()
    return found


def within(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """Whether a path leads to a folder, or to anything below it, all links followed."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _why(error: OSError) -> str:
    return error.strerror or str(error)

"""Scanning: the pictures in a folder and in the folders below it.

Only names are read. Names that begin with a dot are ignored.
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
    ".bmp": "image/bmp",
    ".avif": "image/avif",
    ".heic": "image/heic",
    ".heif": "image/heif",
}


@dataclass
class Scan:
    """The files of a folder, as paths relative to it with `/` between their parts."""

    files: list[str] = field(default_factory=list)  # in alphabetical order
    unread: dict[str, str] = field(default_factory=dict)  # what could not be read, and why


def scan(folder: Path, *, closed: Iterable[Path] = ()) -> Scan:
    """Every picture in and below a folder, but for those in `closed` folders, even if a link leads to them.

    Links are followed last. No folder is read twice, so cycles of links end, and a picture has one name.
    """
    excluded = [path for path in closed if not within(folder, path)]
    found, read = Scan(), set[tuple[int, int]]()
    plain, linked = deque([""]), deque[str]()
    while plain or linked:
        inside = (plain or linked).popleft()
        path = os.path.join(folder, inside)
        try:
            if any(within(path, one) for one in excluded):
                continue
            facts = os.stat(path)
            if (facts.st_dev, facts.st_ino) in read:
                continue
            read.add((facts.st_dev, facts.st_ino))
            with os.scandir(path) as listed:
                entries = sorted(listed, key=lambda entry: entry.name)
        except OSError as error:
            found.unread[inside or "."] = _reason(error)
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
                        found.unread[name] = "not a file, or a link whose target does not exist"
            except OSError as error:
                found.unread[name] = _reason(error)
    found.files.sort()
    return found


def within(path: str | os.PathLike[str], folder: str | os.PathLike[str]) -> bool:
    """True if a path leads to a folder, or to anything below it, with all links resolved."""
    return Path(os.path.realpath(path)).is_relative_to(os.path.realpath(folder))


def _reason(error: OSError) -> str:
    return error.strerror or str(error)

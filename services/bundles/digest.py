"""Digests of weight files. A file that has not changed is not read twice."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from functools import lru_cache
from pathlib import Path


def of_files(files: Iterable[Path], *, root: Path) -> str:
    """SHA-256, in hexadecimal, over the names (below `root`) and contents of files, whatever their order."""
    whole = hashlib.sha256()
    for name, file in sorted((file.relative_to(root).as_posix(), file) for file in files):
        whole.update(f"{name}\0{of_file(file)}\n".encode())
    return whole.hexdigest()


def of_file(file: Path) -> str:
    """SHA-256 of a file's contents, in hexadecimal."""
    state = file.stat()
    return _of_file(file, state.st_size, state.st_mtime_ns)


@lru_cache(maxsize=4096)
def _of_file(file: Path, size: int, changed: int) -> str:
    """SHA-256 of a file; its size and time of change are only part of the cache's key."""
    digest = hashlib.sha256()
    with file.open("rb") as content:
        while chunk := content.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()

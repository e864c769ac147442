"""Reads the bytes of artifacts, and moves damaged ones aside."""

from __future__ import annotations

import hashlib
import os
from contextlib import suppress

from intarsia.errors import DataLoss
from store.artifact import CHUNK
from store.entries import Entries, damaged, unknown


def read_chunk(entries: Entries, digest: str, offset: int, seen: hashlib._Hash | None) -> bytes:
    """The bytes of an artifact from `offset` on, at most 1 MiB; `seen` digests them too."""
    try:
        with open(entries.bytes_of(digest), "rb", buffering=0) as file:
            file.seek(offset)
            chunk = file.read(CHUNK)
    except FileNotFoundError:
        raise unknown(digest) from None
    if seen is not None:
        seen.update(chunk)
    return chunk


def load(entries: Entries, digest: str) -> bytes:
    """All bytes of an artifact, checked."""
    try:
        data = entries.bytes_of(digest).read_bytes()
    except FileNotFoundError:
        raise unknown(digest) from None
    if hashlib.sha256(data).hexdigest() != digest:
        raise quarantine(entries, digest)
    return data


def quarantine(entries: Entries, digest: str) -> DataLoss:
    """Moves damaged bytes aside, so that their name is unknown until they are stored again.

    They are read once more: another upload may have repaired them meanwhile.
    """
    path = entries.bytes_of(digest)
    with suppress(FileNotFoundError), open(path, "rb") as file:
        seen = hashlib.sha256()
        while chunk := file.read(CHUNK):
            seen.update(chunk)
        if seen.hexdigest() != digest and os.path.samestat(os.fstat(file.fileno()), path.stat()):
            os.replace(path, entries.damaged_of(digest))
    return damaged(digest)

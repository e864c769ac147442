"""The journal: one line of JSON for every item that ended, appended and never rewritten.

    {"journal": "6f1c…"}
    {"item": "sub/name", "state": "succeeded", "digest": "9f86…", "files": ["sub/name.png"], …}

It is what a later run goes on from: a killed run loses only the items it was working on. A line that was cut
off by the end of a process is ignored. In memory is only the offset of each item's last entry.
"""

from __future__ import annotations

import json
import os
import uuid
from collections import Counter
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import Any

from intarsia.errors import InvalidRequest

FILE = "report.jsonl"
SUCCEEDED, FAILED, CANCELLED = "succeeded", "failed", "cancelled"


class Journal:
    """The journal of one folder of results. A context manager; several may be open at the same time."""

    def __init__(self, out: Path) -> None:
        """Opens or creates the journal in a folder. `InvalidRequest` if its file is something else."""
        self.path = out / FILE
        self._offsets: dict[str, int] = {}  # of every item's last entry
        self._failures: Counter[str] = Counter()  # by digest
        self._file = open(self.path, "a+b")  # noqa: SIM115 - closed by `__exit__`
        try:
            self.id = self._read() or self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Journal:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def last(self, item: str) -> dict[str, Any] | None:
        """An item's last entry."""
        if item not in self._offsets:
            return None
        self._file.seek(self._offsets[item])
        return json.loads(self._file.readline())

    def failures(self, digest: str) -> int:
        """The number of failures of items with this digest."""
        return self._failures[digest]

    def add(self, line: Mapping[str, Any]) -> None:
        """Appends an entry. It is on the disk when this returns.

        Blocks for as long as the disk takes: an entry is written between two awaits, so that no cancel
        comes between a finished item and its entry.
        """
        self._remember(line, self._append(line))

    def _append(self, line: Mapping[str, Any]) -> int:
        text = json.dumps(line).encode() + b"\n"  # ASCII, for file names that are not Unicode
        self._file.seek(0, os.SEEK_END)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell() - len(text)

    def _remember(self, line: Mapping[str, Any], offset: int) -> None:
        self._offsets[line["item"]] = offset
        if line["state"] == FAILED:
            self._failures[line["digest"]] += 1

    def _read(self) -> uuid.UUID | None:
        """Reads all entries; the journal's id, or None if the file is new."""
        self._file.seek(0)
        found, offset, text = None, 0, b"\n"
        for text in self._file:
            line = _parsed(text)
            if found is None and "journal" in line:
                found = uuid.UUID(line["journal"])
            elif {"item", "state", "digest"} <= line.keys():
                self._remember(line, offset)
            offset += len(text)
        if found is None and offset > 0 and text.endswith(b"\n"):
            raise InvalidRequest(
                f"{self.path} is not a journal of Intarsia; name another folder for the results", field="out"
            )
        if not text.endswith(b"\n"):
            self._file.write(b"\n")
        return found

    def _begin(self) -> uuid.UUID:
        id = uuid.uuid4()
        self._append({"journal": str(id)})
        return id


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}

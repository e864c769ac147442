"""The ledger: what has become of every item, one line of JSON each, never rewritten.

    {"ledger": "6f1c…"}
    {"item": "sub/name", "state": "succeeded", "mark": "9f86…", "files": ["sub/name.png"], …}

It is the memory of a folder: a run that is killed loses what it holds, not what it has written here. A
line that was torn by the end of a process is passed over. The process itself remembers where each item's
last line begins, and no line.
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


class Ledger:
    """The ledger of one folder of results. A context; several may be open at the same time."""

    def __init__(self, out: Path) -> None:
        """Opens the ledger in a folder, or begins it. `InvalidRequest` if its file is something else."""
        self.path = out / FILE
        self._places: dict[str, int] = {}  # where an item's last line begins
        self._failures: Counter[str] = Counter()  # by mark
        self._file = open(self.path, "a+b")  # noqa: SIM115 - closed by `__exit__`
        try:
            self.id = self._read() or self._begin()
        except BaseException:
            self._file.close()
            raise

    def __enter__(self) -> Ledger:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._file.close()

    def last(self, item: str) -> dict[str, Any] | None:
        """What became of an item when it was worked on last."""
        if item not in self._places:
            return None
        self._file.seek(self._places[item])
        return json.loads(self._file.readline())

    def failures(self, mark: str) -> int:
        """How often work with this mark has failed."""
        return self._failures[mark]

    def add(self, line: Mapping[str, Any]) -> None:
        """Writes what became of an item. It is on the disk when this returns.

        Blocks for as long as the disk takes: a line is written between two awaits, so no cancel comes
        between the deed and its record.
        """
        self._remember(line, self._append(line))

    def _append(self, line: Mapping[str, Any]) -> int:
        text = json.dumps(line).encode() + b"\n"  # ASCII, for names that are no Unicode
        self._file.seek(0, os.SEEK_END)
        self._file.write(text)
        self._file.flush()
        os.fsync(self._file.fileno())
        return self._file.tell() - len(text)

    def _remember(self, line: Mapping[str, Any], place: int) -> None:
        self._places[line["item"]] = place
        if line["state"] == FAILED:
            self._failures[line["mark"]] += 1

    def _read(self) -> uuid.UUID | None:
        """What is there: its id, or None if that is still to be written."""
        self._file.seek(0)
        found, place, text = None, 0, b"\n"
        for text in self._file:
            line = _parsed(text)
            if found is None and "ledger" in line:
                found = uuid.UUID(line["ledger"])
            elif {"item", "state", "mark"} <= line.keys():
                self._remember(line, place)
            place += len(text)
        if found is None and place > 0 and text.endswith(b"\n"):
            raise InvalidRequest(
                f"{self.path} is no ledger of Intarsia's; name another folder for the results", field="out"
            )
        if not text.endswith(b"\n"):
            self._file.write(b"\n")
        return found

    def _begin(self) -> uuid.UUID:
        drawn = uuid.uuid4()
        self._append({"ledger": str(drawn)})
        return drawn


def _parsed(text: bytes) -> dict[str, Any]:
    try:
        line = json.loads(text)
    except ValueError:
        return {}
    return line if isinstance(line, dict) else {}

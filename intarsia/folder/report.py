"""The report of a batch: a table for people, `report.json` for machines.

    intarsia      version of the client
    method        the rpc for every item, for example `FillRegion`
    request       that request in proto3 JSON, without picture, mask and id
    pictures, masks, out, by, at_once    as in `Folder`; no masks: null
    started, finished    in UTC
    seconds       between the two
    median_seconds       of an item that was made in this run; null if none was
    complete      false if the run was ended early, with items left
    ended_by      then `reason` and `message`; else null
    counts        `items` there are to do, and how many of them this run found or left `succeeded`,
                  `skipped` (done by an earlier run), `failed`, `cancelled`, `left` (not begun)
    reasons       how many failed, by reason
    orphans       `pictures` without a mask, `masks` without a picture
    duplicates    [{name, pictures, masks}]: several files of one name, all left out
    clashes       [{name, with}]: items whose results would have the same file names, all left out
    unread        `pictures`, `masks`: {path: why} of what could not be looked into
    items         every item's last entry in the journal, in order; `{item, state: "left"}` without one

An entry of the journal:

    item          the picture's path without its ending
    state         `succeeded`, `failed` or `cancelled`
    digest        of all that the result depends on; empty if the inputs could not be read
    picture, mask    relative to their folders
    finished      in UTC
    seconds       it took
    files         what was written, relative to `out`
    job, seed, notes    of the job that made it; the seed is a string
    reason, message, field    why it failed, as in the server's errors
"""

from __future__ import annotations

import asyncio
import json
import os
import time
from array import array
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path
from statistics import median
from typing import Any

from intarsia import errors
from intarsia.folder.journal import CANCELLED, FAILED, SUCCEEDED, Journal
from intarsia.folder.pairs import Pairs

FILE = "report.json"
SKIPPED, LEFT = "skipped", "left"


@dataclass
class Report:
    """The totals of a batch; keeps only a name and a number of each item."""

    request: Mapping[str, Any]  # the fields of `report.json` about the request
    pairs: Pairs
    path: Path
    counts: Counter[str] = field(default_factory=Counter)
    reasons: Counter[str] = field(default_factory=Counter)
    ended_by: BaseException | None = None
    started: str = field(default_factory=lambda: now())
    seconds: float = 0.0
    _seconds: array[float] = field(default_factory=lambda: array("d"))  # of every item made in this run
    _begin: float = field(default_factory=time.monotonic)

    def count(self, line: Mapping[str, Any]) -> None:
        """Adds an item's journal entry to the totals."""
        self.counts[line["state"]] += 1
        if line["state"] == FAILED:
            self.reasons[line["reason"]] += 1
        if line["state"] == SUCCEEDED:
            self._seconds.append(line["seconds"])

    @property
    def left(self) -> int:
        """The number of items that were not begun."""
        return len(self.pairs.items) - sum(self.counts.values())

    @property
    def ok(self) -> bool:
        """True if every item is done and nothing failed."""
        done = self.counts[SUCCEEDED] + self.counts[SKIPPED] == len(self.pairs.items)
        return done and not any(self.pairs.unread.values())

    @property
    def median_seconds(self) -> float | None:
        """The median time of the items made in this run."""
        return median(self._seconds) if self._seconds else None

    def facts(self) -> dict[str, Any]:
        """The fields of `report.json`, but for the items."""
        states = {state: self.counts[state] for state in (SUCCEEDED, SKIPPED, FAILED, CANCELLED)}
        return {
            **self.request,
            "started": self.started,
            "finished": now(),
            "seconds": round(self.seconds, 3),
            "median_seconds": self.median_seconds,
            "complete": self.ended_by is None,
            "ended_by": None if self.ended_by is None else error_fields(self.ended_by),
            "counts": {"items": len(self.pairs.items), **states, LEFT: self.left},
            "reasons": dict(self.reasons),
            "orphans": self.pairs.orphans,
            "duplicates": self.pairs.duplicates,
            "clashes": self.pairs.clashes,
            "unread": self.pairs.unread,
        }

    def close(self, journal: Journal) -> None:
        """Writes `report.json`, item by item, in place of an earlier one once it is whole."""
        self.seconds = time.monotonic() - self._begin
        draft = self.path.with_name(f".{self.path.name}.{os.getpid()}")
        try:
            with draft.open("w", encoding="ascii") as file:
                file.write(json.dumps(self.facts(), indent=1).removesuffix("\n}"))
                file.write(',\n "items": [')
                for number, line in enumerate(self._lines(journal)):
                    file.write(("\n  " if number == 0 else ",\n  ") + json.dumps(line))
                file.write("\n ]\n}\n")
                file.flush()
                os.fsync(file.fileno())
            os.replace(draft, self.path)
        finally:
            draft.unlink(missing_ok=True)

    def _lines(self, journal: Journal) -> Iterable[Mapping[str, Any]]:
        for item in self.pairs.items:
            yield journal.last(item.name) or {"item": item.name, "state": LEFT}


def error_fields(error: BaseException) -> dict[str, str]:
    """The reason, the message and, if one is wrong, the field of an error."""
    if isinstance(error, errors.IntarsiaError):
        facts = {"reason": error.reason, "message": error.message}
        return {**facts, "field": error.field} if isinstance(error, errors.InvalidRequest) else facts
    if isinstance(error, OSError):
        return {"reason": "IO", "message": str(error)}
    if isinstance(error, asyncio.CancelledError):
        return {"reason": errors.Cancelled.reason, "message": "stopped on request"}
    return {"reason": errors.InternalError.reason, "message": f"{type(error).__name__}: {error}"}


def now() -> str:
    """The time in UTC, in ISO 8601."""
    return datetime.now(timezone.utc).isoformat(timespec="milliseconds")

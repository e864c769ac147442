"""Listening: how a batch goes, told as it happens."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intarsia.folder.pairs import Item, Pairs
from intarsia.folder.report import Report
from intarsia.v1.jobs_pb2 import Job


class Listener:
    """Hears how a batch goes. Every method does nothing here; none may take long, since all items wait."""

    def found(self, pairs: Pairs) -> None:
        """What there is to do, and what is left out; comes first."""

    def began(self, item: Item) -> None:
        """An item is looked at."""

    def moved(self, item: Item, job: Job) -> None:
        """How an item's job stands; the last time, it is finished."""

    def waits(self, item: Item, why: Exception, seconds: float) -> None:
        """There is no room, or nobody there; it is tried again after so many seconds."""

    def ended(self, item: Item, line: Mapping[str, Any]) -> None:
        """What became of an item: its line in the ledger, or that of earlier with the state `skipped`."""

    def over(self, report: Report) -> None:
        """The sum of it; comes last, however the batch ended."""

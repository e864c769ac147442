"""The listener: methods that are called while a batch runs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from intarsia.folder.pairs import Item, Pairs
from intarsia.folder.report import Report
from intarsia.results import JobStatus


class Listener:
    """The events of a batch. The methods here do nothing; none may take long, since all items wait for it."""

    def on_start(self, pairs: Pairs) -> None:
        """The first event: the items to process, and the files that are left out."""

    def on_item_start(self, item: Item) -> None:
        """An item is begun."""

    def on_progress(self, item: Item, job: JobStatus[Any]) -> None:
        """An item's job has changed; it is finished in the last of these events."""

    def on_retry(self, item: Item, error: Exception, seconds: float) -> None:
        """The server is busy or out of reach; the call is repeated after so many seconds."""

    def on_item_end(self, item: Item, entry: Mapping[str, Any]) -> None:
        """An item ended: its journal entry, or its earlier one with the state `skipped`."""

    def on_end(self, report: Report) -> None:
        """The last event, however the batch ended."""

"""The memory of a job that runs: read once, and written to the ledger under the hold of the attempt."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence

from orchestrator.jobs.ledger.entry import Hold, Reference, ReferenceKind
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.persistence import until_written


class HeldMemory:
    """What earlier attempts of the job remembered, and what this one adds."""

    def __init__(
        self, ledger: Ledger, hold: Hold, known: Mapping[str, str], remembered: Callable[[], None]
    ) -> None:
        """`remembered` is called after every value that was stored: the job can go on from there."""
        self._ledger, self._hold = ledger, hold
        self._known, self._remembered = dict(known), remembered

    async def recall(self, key: str) -> str | None:
        return self._known.get(key)

    async def remember(self, key: str, value: str, references: Sequence[str]) -> None:
        kept = [Reference(artifact, ReferenceKind.INTERMEDIATE) for artifact in references]
        await until_written(lambda: self._ledger.remember(self._hold, key, value, kept))
        self._known[key] = value
        self._remembered()
        await asyncio.sleep(0)  # who stops the job at this point does so before anything else begins

    async def forget(self, key: str) -> None:
        if self._known.pop(key, None) is not None:
            await until_written(lambda: self._ledger.forget(self._hold, key))

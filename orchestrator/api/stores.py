"""The artifact store of each caller, and what is kept in it."""

from __future__ import annotations

from orchestrator.caller import Caller
from orchestrator.jobs.retention.retention import Retention
from store.artifact import ArtifactStore


class Stores:
    """Finds the artifact store of a caller. There is a single store, which all callers share."""

    def __init__(self, store: ArtifactStore, retention: Retention) -> None:
        self._store, self._retention = store, retention

    def of(self, caller: Caller) -> ArtifactStore:
        """The store that a caller reads from and writes to."""
        return self._store

    def retention_of(self, caller: Caller) -> Retention:
        """What is in that store, and how long it stays."""
        return self._retention

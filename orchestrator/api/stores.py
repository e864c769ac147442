"""The artifact store of each caller."""

from __future__ import annotations

from orchestrator.caller import Caller
from store.artifact import ArtifactStore


class Stores:
    """Finds the artifact store of a caller. There is a single store, which all callers share."""

    def __init__(self, store: ArtifactStore) -> None:
        self._store = store

    def of(self, caller: Caller) -> ArtifactStore:
        """The store that a caller reads from and writes to."""
        return self._store

"""What clients ask: remembered, and broken where a test says so."""

from __future__ import annotations

import threading
from collections import defaultdict, deque
from collections.abc import Callable
from typing import Any

from tests.intarsia.double.fault import Fault


class RecordedCalls:
    """The base of servicers that remember every request; `faults` are by method, each for one call."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, Any]] = []
        self.metadata: list[dict[str, str]] = []
        self.faults: dict[str, deque[Fault]] = defaultdict(deque)
        self._changed = threading.Condition()

    def requests(self, method: str) -> list[Any]:
        return [request for name, request in self.asked if name == method]

    def until(self, true: Callable[[], bool], seconds: float = 10.0) -> None:
        """Waits for something that a call brings about."""
        with self._changed:
            assert self._changed.wait_for(true, seconds), "it did not happen in time"

    def _arrived(self, method: str, request: Any, context: Any) -> Fault | None:
        """Remembers a request; strikes at once, or returns a fault that strikes later."""
        self.metadata.append(dict(context.invocation_metadata()))
        with self._changed:
            self.asked.append((method, request))
            self._changed.notify_all()
        if not self.faults[method]:
            return None
        fault = self.faults[method].popleft()
        if not (fault.after_chunks or fault.after_the_work):
            fault.strike(context)
        return fault

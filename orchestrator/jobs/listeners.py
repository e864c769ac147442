"""Listeners: who waits for a change of a job."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager


class JobListener:
    """Waits for the changes of one job."""

    def __init__(self) -> None:
        self.changed = asyncio.Event()
        self.over = asyncio.Event()  # set at once when the job ended, or when nobody will tell of changes

    def clear(self) -> None:
        """Forgets the changes until now; call it before the job is read."""
        self.changed.clear()
        self.over.clear()


class Listeners:
    """All listeners, by the name of their job."""

    def __init__(self) -> None:
        self._listeners: dict[str, set[JobListener]] = {}

    @contextmanager
    def listen(self, name: str) -> Iterator[JobListener]:
        """A listener that is told of every change of the job in this context."""
        listener = JobListener()
        self._listeners.setdefault(name, set()).add(listener)
        try:
            yield listener
        finally:
            self._listeners[name].discard(listener)
            if not self._listeners[name]:
                del self._listeners[name]

    @property
    def names(self) -> set[str]:
        """The jobs that somebody listens to."""
        return set(self._listeners)

    def tell(self, name: str, *, over: bool = False) -> None:
        """Tells that a job has changed, or even ended."""
        for listener in self._listeners.get(name, ()):
            listener.changed.set()
            if over:
                listener.over.set()

    def tell_all(self) -> None:
        """Tells all that they should look at their job now."""
        for name in self._listeners:
            self.tell(name, over=True)

"""Changes: the names of jobs that changed, for all who wait for one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

ANY = ""  # the name that is given when some may have been missed: any job may have changed


class Changes:
    """Hands the names of changed jobs to all who listen. It belongs to one event loop."""

    def __init__(self) -> None:
        self._listeners: set[_Listener] = set()

    def tell(self, name: str) -> None:
        """Hands on that a job changed."""
        for listener in self._listeners:
            listener.names[name] = None
            listener.told.set()

    async def listen(self) -> AsyncGenerator[str, None]:
        """Yields names from the first step of the iteration on; one that changes again before it is yielded
        comes once."""
        listener = _Listener()
        self._listeners.add(listener)
        try:
            while True:
                await listener.told.wait()
                listener.told.clear()
                names, listener.names = listener.names, {}
                for name in names:
                    yield name
        finally:
            self._listeners.discard(listener)


class _Listener:
    def __init__(self) -> None:
        self.names: dict[str, None] = {}  # in the order in which they changed first
        self.told = asyncio.Event()

"""Clips out of the store, frame by frame, and what is made of them on the way.

Codecs work in threads, off the event loop: one for what is read, one for what is written.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial

from orchestrator.aio import WorkerThread
from orchestrator.media.clip.reader import Clip, Frame, open_clip
from orchestrator.media.clip.track_writer import Trace
from orchestrator.media.picture.picture import Limits
from store.artifact import ArtifactStore


@dataclass(frozen=True)
class Clips:
    """What recipes see of the store where it holds clips."""

    store: ArtifactStore
    limits: Limits

    @asynccontextmanager
    async def opened(self, name: str) -> AsyncIterator[Footage]:
        """A clip to be looked at frame by frame."""
        async with self.store.local(name) as path, WorkerThread() as aside:
            context = open_clip(path, self.limits)
            clip = await aside(context.__enter__)
            try:
                yield Footage(clip, aside)
            finally:
                await aside(context.__exit__, None, None, None)

    @asynccontextmanager
    async def traced(self, clip: Footage, *, overlay: bool) -> AsyncIterator[Trace]:
        """A trace to be written along a clip. What is not kept by the end is thrown away."""
        async with self.store.scratch() as folder, WorkerThread() as aside:
            trace = Trace(self.store, folder, clip.about, aside)
            try:
                await aside(partial(trace.open, overlay=overlay))
                yield trace
            finally:
                await aside(trace.close, *sys.exc_info())


class Footage:
    """A clip that is open, with all that is known `about` it."""

    def __init__(self, clip: Clip, aside: WorkerThread) -> None:
        self.about, self._aside = clip, aside

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """From the first to the last; while one is looked at, the next is read."""
        left = iter(self.about)
        upcoming = asyncio.ensure_future(self._aside(next, left, None))
        try:
            while (frame := await upcoming) is not None:
                upcoming = asyncio.ensure_future(self._aside(next, left, None))
                yield frame
        finally:
            if not upcoming.cancel() and not upcoming.cancelled():
                upcoming.exception()  # of a frame that nobody wants any more

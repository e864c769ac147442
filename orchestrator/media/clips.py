"""Clips of the store: reads their frames, and writes the files of a track.

Codecs run in threads, off the event loop: one to read, one to write.
"""

from __future__ import annotations

import asyncio
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from orchestrator.aio import WorkerThread
from orchestrator.media.clip.reader import Clip, Frame, open_clip, read_clip_header
from orchestrator.media.clip.track_writer import TrackWriter
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from store.artifact import ArtifactStore


@dataclass(frozen=True)
class Clips:
    """Access to the clips of the store, for recipes."""

    store: ArtifactStore
    limits: PictureLimits
    budget: DecodingBudget
    encoder: str = "libx264"  # of colour clips; see `clip/writer.py`

    async def announced_pixels(self, name: str) -> int:
        """The number of pixels of a frame, as the file announces it, or the most there may be; raises
        `InvalidRequest`."""
        async with self.store.local(name, checked=False) as path:
            announced = (await asyncio.to_thread(read_clip_header, path)).pixels
        return announced or int(self.limits.megapixels * 1e6)

    @asynccontextmanager
    async def open(self, name: str, *, beside: int = 0) -> AsyncIterator[ClipSource]:
        """Opens a clip, to be read frame by frame. `beside`: the bytes that decoding other files takes while
        it is open, masks for its frames."""
        async with self.store.local(name) as path:
            header = await asyncio.to_thread(read_clip_header, path)
            needed = header.decoding + beside
            if header.pixels:
                what = f"the clip ({header.width} x {header.height})"
                self.budget.check(needed, what, "clip")
            else:
                needed = int(self.budget.size)  # it may be anything within the limits
            async with self.budget.room(needed), self._opened(path) as clip:
                yield clip

    @asynccontextmanager
    async def _opened(self, path: Path) -> AsyncIterator[ClipSource]:
        async with WorkerThread() as in_thread:
            context = open_clip(path, self.limits)
            clip = await in_thread(context.__enter__)
            try:
                yield ClipSource(clip, in_thread)
            finally:
                await in_thread(context.__exit__, None, None, None)

    @asynccontextmanager
    async def track_writer(self, clip: ClipSource, *, overlay: bool) -> AsyncIterator[TrackWriter]:
        """Opens a writer for the track of a clip. Files that are not stored by the end are deleted."""
        async with self.store.scratch() as folder, WorkerThread() as in_thread:
            writer = TrackWriter(self.store, folder, clip.info, in_thread)
            try:
                await in_thread(partial(writer.open, overlay=self.encoder if overlay else ""))
                yield writer
            finally:
                await in_thread(writer.close, *sys.exc_info())


class ClipSource:
    """An open clip; `info` holds its size, rate and notes."""

    def __init__(self, clip: Clip, in_thread: WorkerThread) -> None:
        self.info, self._in_thread = clip, in_thread

    async def frames(self) -> AsyncGenerator[Frame, None]:
        """Yields all frames; while one is processed, the next is decoded."""
        remaining = iter(self.info)
        upcoming = asyncio.ensure_future(self._in_thread(next, remaining, None))
        try:
            while (frame := await upcoming) is not None:
                upcoming = asyncio.ensure_future(self._in_thread(next, remaining, None))
                yield frame
        finally:
            if not upcoming.cancel() and not upcoming.cancelled():
                upcoming.exception()  # of a frame that is no longer needed

"""Previews: what the picture will look like, shown while it is still being made.

They are made beside the denoising and never hold it up: while one is being made only the newest of those
that wait is kept, and when the work is done whatever is unfinished is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import numpy as np

from canvas.box import PixelBox
from canvas.crop import WorkingSize
from canvas.patch import restore
from intarsia.errors import IntarsiaError
from orchestrator.media.picture.picture import Picture
from orchestrator.media.pictures import Pictures
from orchestrator.models.vae import Vae
from orchestrator.runs.run import Run

log = logging.getLogger(__name__)


class Previews:
    """A place where foreseen latents are left, and those who turn them into pictures."""

    def __init__(self, vae: Vae, pictures: Pictures, run: Run, family: str) -> None:
        self._vae, self._pictures, self._run, self._family = vae, pictures, run, family
        self._newest: np.ndarray | None = None
        self._there = asyncio.Event()

    def offer(self, latents: np.ndarray) -> None:
        """Leaves latents to be shown; replaces what nobody has taken yet."""
        self._newest = latents
        self._there.set()

    @asynccontextmanager
    async def showing(self, picture: Picture, working: WorkingSize) -> AsyncIterator[Previews]:
        """Shows what is offered, as large as it is worked at, until left."""
        work = asyncio.ensure_future(self._show_all(picture, working))
        try:
            yield self
        finally:
            work.cancel()
            await asyncio.wait({work})
            if not work.cancelled() and (fault := work.exception()) is not None:
                log.error("previews ended early: %s", fault, exc_info=fault)

    async def _show_all(self, picture: Picture, working: WorkingSize) -> None:
        as_worked = PixelBox(0, 0, working.scaled.width, working.scaled.height)
        while True:
            await self._there.wait()
            self._there.clear()
            latents, self._newest = self._newest, None
            assert latents is not None
            try:
                patch = await self._vae.decode(latents, family=self._family)
                pixels = await asyncio.to_thread(restore, patch, as_worked, working)
                self._run.show((await self._pictures.keep_preview(pixels, picture)).name)
            except IntarsiaError as error:
                # A picture without a preview is better than none.
                log.warning("a preview was left out: %s", error)

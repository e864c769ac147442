"""Previews: what the picture will look like, shown while it is still being made.

They are made beside the denoising and never hold it up: while one is being made only the newest of those
that wait is kept, and when the work is done whatever is unfinished is dropped.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

import numpy as np

from intarsia.canvas.box import PixelBox
from intarsia.canvas.crop import Working
from intarsia.canvas.patch import restore
from intarsia.errors import IntarsiaError
from orchestrator.stages.pictures import Pictures
from orchestrator.stages.run import Run
from orchestrator.stages.vae import Vae

log = logging.getLogger(__name__)


class Previews:
    """A place where foreseen latents are left."""

    def __init__(self) -> None:
        self._newest: np.ndarray | None = None
        self._there = asyncio.Event()

    def offer(self, latents: np.ndarray) -> None:
        """Leaves latents to be shown; replaces what nobody has taken yet."""
        self._newest = latents
        self._there.set()

    async def take(self) -> np.ndarray:
        """The newest latents, as soon as there are any."""
        await self._there.wait()
        self._there.clear()
        latents, self._newest = self._newest, None
        assert latents is not None
        return latents


@asynccontextmanager
async def previews(
    vae: Vae, pictures: Pictures, run: Run, crop: PixelBox, working: Working, *, family: str
) -> AsyncIterator[Previews]:
    """Shows what is offered to the run, until left."""
    offered = Previews()

    async def show() -> None:
        while True:
            latents = await offered.take()
            try:
                patch = await vae.decode(latents, family=family)
                pixels = await asyncio.to_thread(restore, patch, crop, working)
                run.show((await pictures.keep_preview(pixels)).name)
            except IntarsiaError as error:
                # A picture without a preview is better than none.
                log.warning("a preview was left out: %s", error)

    showing = asyncio.ensure_future(show())
    try:
        yield offered
    finally:
        showing.cancel()
        with suppress(asyncio.CancelledError):
            await showing

"""Previews: pictures of the estimated result while it is being denoised.

They are made beside the denoising and never delay it: while one is being made only the newest of those
offered is kept, and when the denoising ends an unfinished one is dropped.
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
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run

log = logging.getLogger(__name__)


class Previews:
    """Takes estimates of the clean latents and turns them into stored pictures."""

    def __init__(self, vae: Vae, pictures: Pictures, run: Run, weights: WeightsRef) -> None:
        self._vae, self._pictures, self._run, self._weights = vae, pictures, run, weights
        self._newest: np.ndarray | None = None
        self._offered = asyncio.Event()

    def offer(self, latents: np.ndarray) -> None:
        """Offers latents for a preview; they replace those that wait."""
        self._newest = latents
        self._offered.set()

    @asynccontextmanager
    async def running(self, picture: Picture, working: WorkingSize) -> AsyncIterator[Previews]:
        """Makes previews of what is offered, at the working size, until the context ends."""
        work = asyncio.ensure_future(self._make_previews(picture, working))
        try:
            yield self
        finally:
            work.cancel()
            await asyncio.wait({work})
            if not work.cancelled() and (fault := work.exception()) is not None:
                log.error("previews ended early: %s", fault, exc_info=fault)

    async def _make_previews(self, picture: Picture, working: WorkingSize) -> None:
        box = PixelBox(0, 0, working.scaled.width, working.scaled.height)
        while True:
            await self._offered.wait()
            self._offered.clear()
            latents, self._newest = self._newest, None
            assert latents is not None
            try:
                patch = await self._vae.decode_pixels(latents, self._weights)
                pixels = await asyncio.to_thread(restore, patch, box, working)
                self._run.show((await self._pictures.keep_preview(pixels, picture)).name)
            except IntarsiaError as error:
                # A picture without a preview is better than a failed job.
                log.warning("a preview was left out: %s", error)

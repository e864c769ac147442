"""The workshop: every stage there is, and the set of them that one run works with."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

from canvas.crop import WorkingSize
from intarsia.errors import NotReady
from orchestrator.aio import gather_or_cancel
from orchestrator.media.clips import Clips
from orchestrator.media.picture.picture import Picture
from orchestrator.media.pictures import Pictures
from orchestrator.models import denoiser, sam, text_encoder, vae
from orchestrator.models.admission import Door, Endurance
from orchestrator.models.client import Served
from orchestrator.models.denoiser import Denoiser, Inpaint, InstructPix2Pix
from orchestrator.models.known_keys import Sent
from orchestrator.models.sam import Sam
from orchestrator.models.text_encoder import TextEncoder
from orchestrator.models.vae import Vae
from orchestrator.runs.run import Run, Work
from orchestrator.stages.previews import Previews
from orchestrator.triton.models import Models

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages:
    """All that a recipe may call, bound to its run."""

    pictures: Pictures
    clips: Clips
    sam: Sam
    text_encoder: TextEncoder
    vae: Vae
    ip2p_unet: InstructPix2Pix
    sd2_inpaint: Inpaint
    run: Run

    def stage(self, name: str, *, of: int = 1) -> AbstractContextManager[Work]:
        """Times what happens inside, one of `of` pieces, and shows it as the stage being worked on."""
        return self.run.stage(name, of=of)

    def denoiser(self, model: str) -> Denoiser:
        """The denoiser of this name."""
        return {"ip2p_unet": self.ip2p_unet, "sd2_inpaint": self.sd2_inpaint}[model]

    def previews(
        self, picture: Picture, working: WorkingSize, *, family: str
    ) -> AbstractAsyncContextManager[Previews]:
        """Turns foreseen latents into pictures beside the work, for as long as it lasts."""
        offered = Previews(self.vae, self.pictures, self.run, family)
        return offered.showing(picture, working)


class Workshop:
    """What all runs share: the models, what is known about them, and the store."""

    def __init__(self, models: Models, pictures: Pictures, endurance: Endurance) -> None:
        self._sam = Served(models["sam"], Door(endurance), fields=sam.FIELDS)
        self._text_encoder = Served(models["text_encoder"], Door(endurance), fields=text_encoder.FIELDS)
        self._vae = Served(models["vae"], Door(endurance), fields=vae.FIELDS)
        self._ip2p_unet = Served(
            models["ip2p_unet"], Door(endurance), fields=denoiser.EDIT_FIELDS, decoupled=True
        )
        self._sd2_inpaint = Served(
            models["sd2_inpaint"], Door(endurance), fields=denoiser.FILL_FIELDS, decoupled=True
        )
        self._store, self._pictures = pictures.store, pictures
        self._sent, self._fitted = Sent(), (Sent(), Sent())
        self._fills_missing = False

    def at(self, run: Run) -> Stages:
        """The stages bound to one run."""
        return Stages(
            pictures=self._pictures,
            clips=Clips(self._store, self._pictures.limits),
            sam=Sam(self._sam, run, self._sent),
            text_encoder=TextEncoder(self._text_encoder, run),
            vae=Vae(self._vae, run),
            ip2p_unet=InstructPix2Pix(self._ip2p_unet, run, self._store, self._fitted[0]),
            sd2_inpaint=Inpaint(self._sd2_inpaint, run, self._store, self._fitted[1]),
            run=run,
        )

    async def meet(self) -> None:
        """Reads what every model says about itself; raises what the first one that cannot be asked raises.

        Fills need weights of their own: a server without them serves everything else.
        """
        every = (self._sam, self._text_encoder, self._vae, self._ip2p_unet)
        await gather_or_cancel(*(served.facts() for served in every))
        try:
            await self._sd2_inpaint.facts()
        except NotReady as missing:
            self._fills_missing = True
            log.warning("regions cannot be filled: %s", missing)

    async def check_fills(self) -> None:
        """NotReady where there were no weights to fill with, and there still are none."""
        if self._fills_missing:
            await self._sd2_inpaint.facts()
            self._fills_missing = False

"""The stages of a run, and the factory that makes them from what all runs share."""

from __future__ import annotations

import logging
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

from canvas.crop import WorkingSize
from intarsia.errors import NotReady
from orchestrator.aio import gather_or_cancel
from orchestrator.deadline import Deadline
from orchestrator.media.clips import Clips
from orchestrator.media.picture.picture import Picture
from orchestrator.media.pictures import Pictures
from orchestrator.models import denoiser, sam, text_encoder, vae
from orchestrator.models.adapters import AdapterUploads
from orchestrator.models.admission import ModelQueue, WaitLimits
from orchestrator.models.client import ModelClient
from orchestrator.models.denoiser import Denoiser
from orchestrator.models.facts import ModelFacts
from orchestrator.models.sam import Sam
from orchestrator.models.text_encoder import TextEncoder
from orchestrator.models.vae import Vae
from orchestrator.runs.run import Run, Work
from orchestrator.stages.previews import Previews
from orchestrator.triton.models import Models

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Stages:
    """Everything that a recipe may call, bound to its run."""

    pictures: Pictures
    clips: Clips
    sam: Sam
    text_encoder: TextEncoder
    vae: Vae
    ip2p_unet: Denoiser
    sd2_inpaint: Denoiser
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
        """Turns offered latents into stored pictures until the context ends."""
        return Previews(self.vae, self.pictures, self.run, family).running(picture, working)


class StageFactory:
    """The models, their facts, and the store, shared by all runs."""

    def __init__(self, models: Models, pictures: Pictures, wait_limits: WaitLimits) -> None:
        self._sam = ModelClient(models["sam"], ModelQueue(wait_limits), fields=sam.FIELDS)
        self._text_encoder = ModelClient(
            models["text_encoder"], ModelQueue(wait_limits), fields=text_encoder.FIELDS
        )
        self._vae = ModelClient(models["vae"], ModelQueue(wait_limits), fields=vae.FIELDS)
        self._ip2p_unet = ModelClient(
            models["ip2p_unet"], ModelQueue(wait_limits), fields=denoiser.EDIT_FIELDS
        )
        self._sd2_inpaint = ModelClient(
            models["sd2_inpaint"], ModelQueue(wait_limits), fields=denoiser.FILL_FIELDS
        )
        self._store, self._pictures = pictures.store, pictures

    def at(self, run: Run) -> Stages:
        """The stages bound to one run."""
        return Stages(
            pictures=self._pictures,
            clips=Clips(self._store, self._pictures.limits),
            sam=Sam(self._sam, run),
            text_encoder=TextEncoder(self._text_encoder, run),
            vae=Vae(self._vae, run),
            ip2p_unet=Denoiser(self._ip2p_unet, run, self._uploads(self._ip2p_unet, run)),
            sd2_inpaint=Denoiser(self._sd2_inpaint, run, self._uploads(self._sd2_inpaint, run)),
            run=run,
        )

    def _uploads(self, client: ModelClient, run: Run) -> AdapterUploads:
        return AdapterUploads(client, run, self._store)

    async def wait_until_ready(self) -> None:
        """Reads the facts of every model; raises the error of the first one that does not answer.

        Fills need weights of their own: a server without them serves everything else.
        """
        every = (self._sam, self._text_encoder, self._vae, self._ip2p_unet)
        await gather_or_cancel(*(client.facts() for client in every))
        try:
            await self._sd2_inpaint.facts()
        except NotReady as missing:
            log.warning("regions cannot be filled: %s", missing)

    async def facts(self, model: str) -> ModelFacts:
        """The facts of the denoiser of this name."""
        return await self.at(Run(Deadline())).denoiser(model).facts()

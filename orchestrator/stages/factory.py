"""The stages of a run, and the factory that makes them from what all runs share."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass

from canvas.crop import WorkingSize
from intarsia.errors import NotReady
from orchestrator.aio import gather_or_cancel
from orchestrator.deadline import Deadline
from orchestrator.media.clips import Clips
from orchestrator.media.picture.picture import Picture
from orchestrator.media.pictures import Pictures
from orchestrator.models.adapters import AdapterUploads
from orchestrator.models.admission import ModelQueue, WaitLimits
from orchestrator.models.client import ModelClient
from orchestrator.models.denoiser import Denoiser
from orchestrator.models.facts import ModelFacts
from orchestrator.models.registry import MODELS, ModelSpec, denoisers
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
    denoisers: Mapping[str, Denoiser]
    run: Run

    def stage(self, name: str, *, of: int = 1) -> AbstractContextManager[Work]:
        """Times what happens inside, one of `of` pieces, and shows it as the stage being worked on."""
        return self.run.stage(name, of=of)

    def denoiser(self, model: str) -> Denoiser:
        """The denoiser of this name."""
        return self.denoisers[model]

    def previews(
        self, picture: Picture, working: WorkingSize, *, family: str
    ) -> AbstractAsyncContextManager[Previews]:
        """Turns offered latents into stored pictures until the context ends."""
        return Previews(self.vae, self.pictures, self.run, family).running(picture, working)


class StageFactory:
    """The clients of all models, and the store, shared by all runs."""

    def __init__(self, models: Models, pictures: Pictures, wait_limits: WaitLimits) -> None:
        self._clients = {
            name: ModelClient(models[name], ModelQueue(wait_limits), fields=spec.fields)
            for name, spec in MODELS.items()
        }
        self._pictures = pictures

    def at(self, run: Run) -> Stages:
        """The stages bound to one run."""
        clients, store = self._clients, self._pictures.store
        return Stages(
            pictures=self._pictures,
            clips=Clips(store, self._pictures.limits),
            sam=Sam(clients["sam"], run),
            text_encoder=TextEncoder(clients["text_encoder"], run),
            vae=Vae(clients["vae"], run),
            denoisers={
                name: Denoiser(clients[name], run, AdapterUploads(clients[name], run, store))
                for name in denoisers()
            },
            run=run,
        )

    async def wait_until_ready(self) -> None:
        """Reads the facts of every model; raises the error of the first one that does not answer.

        Models that are optional may be without weights.
        """
        await gather_or_cancel(*(self._check_ready(name, spec) for name, spec in MODELS.items()))

    async def facts(self, model: str) -> ModelFacts:
        """The facts of the denoiser of this name."""
        return await self.at(Run(Deadline())).denoiser(model).facts()

    async def _check_ready(self, name: str, spec: ModelSpec) -> None:
        try:
            await self._clients[name].facts()
        except NotReady as missing:
            if not spec.optional:
                raise
            log.warning("%s is not served: %s", name, missing)

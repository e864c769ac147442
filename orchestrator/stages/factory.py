"""The stages of a run, and the factory that makes them from what all runs share."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from contextlib import AbstractAsyncContextManager, AbstractContextManager
from dataclasses import dataclass
from typing import Any, TypeVar

from canvas.crop import WorkingSize
from orchestrator.media.clips import Clips
from orchestrator.media.picture.picture import Picture
from orchestrator.media.pictures import Pictures
from orchestrator.models.adapters import AdapterUploads
from orchestrator.models.admission import ModelQueue, WaitLimits
from orchestrator.models.client import ModelClient
from orchestrator.models.denoiser import Denoiser
from orchestrator.models.registry import MODELS, denoisers
from orchestrator.models.sam import Sam
from orchestrator.models.text_encoder import TextEncoder
from orchestrator.models.vae import Vae
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run, Work
from orchestrator.stages.memory import Memory, NoMemory, Recollection
from orchestrator.stages.previews import Previews
from orchestrator.stages.trajectory_memory import CheckpointLimits, TrajectoryMemory
from orchestrator.triton.models import Models

T = TypeVar("T")


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
    memory: Recollection
    checkpoint_limits: CheckpointLimits

    async def once(self, key: str, make: Callable[[], Awaitable[T]], kind: type[T]) -> T:
        """What the job remembers for this key, else what `make` returns, which it remembers then."""
        return await self.memory.once(key, make, kind)

    def trajectory(self, key: str) -> TrajectoryMemory:
        """What the job keeps of a trajectory, below this key."""
        return TrajectoryMemory(key, self.memory, self.pictures.store)

    def stage(self, name: str, *, of: int = 1) -> AbstractContextManager[Work]:
        """Times what happens inside, one of `of` pieces, and shows it as the stage being worked on."""
        return self.run.stage(name, of=of)

    def denoiser(self, model: str) -> Denoiser:
        """The denoiser of this name."""
        return self.denoisers[model]

    def previews(
        self, picture: Picture, working: WorkingSize, weights: WeightsRef
    ) -> AbstractAsyncContextManager[Previews]:
        """Turns offered latents into stored pictures, by these weights of a VAE, until the context ends."""
        return Previews(self.vae, self.pictures, self.run, weights).running(picture, working)


class StageFactory:
    """The clients of all models, and the store, shared by all runs."""

    def __init__(
        self,
        models: Models,
        pictures: Pictures,
        wait_limits: WaitLimits,
        checkpoint_limits: CheckpointLimits | None = None,
        *,
        encoder: str = "libx264",
    ) -> None:
        self._clients = {
            name: ModelClient(models[name], ModelQueue(wait_limits), fields=spec.fields)
            for name, spec in MODELS.items()
        }
        self._pictures = pictures
        self._checkpoint_limits = checkpoint_limits or CheckpointLimits()
        self._encoder = encoder

    def at(self, run: Run, memory: Memory | None = None) -> Stages:
        """The stages bound to one run, and to the memory of its job; without one, nothing is remembered."""
        clients, store = self._clients, self._pictures.store
        return Stages(
            pictures=self._pictures,
            clips=Clips(store, self._pictures.limits, self._pictures.budget, self._encoder),
            sam=Sam(clients["sam"], run),
            text_encoder=TextEncoder(clients["text_encoder"], run),
            vae=Vae(clients["vae"], run),
            denoisers={
                name: Denoiser(clients[name], run, AdapterUploads(clients[name], run, store))
                for name in denoisers()
            },
            run=run,
            memory=Recollection(memory or NoMemory(), store),
            checkpoint_limits=self._checkpoint_limits,
        )

    async def facts(self, model: str, *, waits: bool = True) -> Mapping[str, Any]:
        """The facts that a model publishes about itself. Unless it `waits`, raises at once if the model is
        full or away."""
        return await self._clients[model].facts(waits=waits)

"""From noise to a patch, step by step, by instruction."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass

import numpy as np

from intarsia.errors import ModelDown
from orchestrator.stages.run import Run
from orchestrator.stages.served import Served
from orchestrator.triton.tensors import text

FIELDS = {
    "source": "cut.working_size",
    "text": "instruction",
    "no_text": "negative_instruction",
    "seed": "sampling.seed",
    "steps": "sampling.steps",
    "guidance": "sampling.guidance",
    "scheduler": "sampling.scheduler",
    "preview_every": "preview_every",
}


@dataclass(frozen=True)
class Weights:
    """What the loaded weights were made for."""

    digest: str
    size: int  # longer side in pixels
    multiple: int  # sides are multiples of this many pixels
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    schedulers: tuple[str, ...]


@dataclass(frozen=True)
class Noise:
    """How the way from noise to picture is walked; everything is decided."""

    seed: int
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    reproducible: bool


@dataclass(frozen=True, eq=False)
class Denoised:
    """Edited latents (4, h, w), and the digest of the weights that made them."""

    latents: np.ndarray
    weights: str


@dataclass(frozen=True)
class InstructPix2Pix:
    """Edits latents by instruction. Bound to one run."""

    served: Served
    run: Run

    async def weights(self) -> Weights:
        """What the loaded weights were made for."""
        facts = await self.served.facts()
        own = facts["defaults"]
        return Weights(
            digest=facts["weights"],
            size=int(facts["size"]),
            multiple=int(facts["multiple"]),
            steps=int(own["steps"]),
            guidance=float(own["guidance"]),
            picture_guidance=float(own["picture_guidance"]),
            scheduler=own["scheduler"],
            schedulers=tuple(facts["schedulers"]),
        )

    async def denoise(
        self,
        source: np.ndarray,
        text_values: np.ndarray,
        no_text_values: np.ndarray,
        noise: Noise,
        *,
        preview_every: int = 0,
        preview: Callable[[np.ndarray], None] = lambda latents: None,
    ) -> Denoised:
        """The edited latents, shaped like `source`, (4, h, w).

        Every step is reported to the run. Every so many steps `preview` is called with the clean latents
        as foreseen; it must return at once.
        """
        inputs = {
            "source": source,
            "text": text_values,
            "no_text": no_text_values,
            "seed": np.array([noise.seed], np.uint64),
            "steps": np.array([noise.steps], np.int32),
            "guidance": np.array([noise.guidance, noise.picture_guidance], np.float32),
            "scheduler": text(noise.scheduler),
            "reproducible": np.array([noise.reproducible], np.uint8),
            "preview_every": np.array([preview_every], np.int32),
        }
        edited, made_by = None, ""
        async with aclosing(self.served.stream(inputs, deadline=self.run.deadline)) as beats:
            async for beat in beats:
                # Not before: a request may wait while the model is loaded anew, with other weights.
                made_by = made_by or (await self.weights()).digest
                done, of = (int(number) for number in beat["progress"])
                self.run.stepped(done, of)
                if "latents" not in beat:
                    continue
                if done == of:
                    edited = beat["latents"]
                else:
                    preview(beat["latents"])
        if edited is None:
            raise ModelDown(f"{self.served.name} ended its stream before the last step; try again")
        return Denoised(edited, made_by)

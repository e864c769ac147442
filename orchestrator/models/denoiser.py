"""From noise to a patch, step by step: by instruction, or into a hole."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from intarsia.errors import Busy, IntarsiaError, InternalError, InvalidRequest, ModelDown
from orchestrator.models.client import Served
from orchestrator.models.known_keys import Sent
from orchestrator.runs.run import Run, Work
from orchestrator.triton.errors import model_reason
from orchestrator.triton.tensors import Tensors, from_text, text
from store.artifact import PREFIX, ArtifactStore

_COMMON = {
    "seed": "sampling.seed",
    "steps": "sampling.steps",
    "guidance": "sampling.guidance",
    "scheduler": "sampling.scheduler",
    "preview_every": "preview_every",
    "adapters": "adapters",
    "adapter": "adapter",  # in a message of its own, which brings the field along
}
EDIT_FIELDS = {
    **_COMMON,
    "source": "cut.working_size",
    "text": "instruction",
    "no_text": "negative_instruction",
}
FILL_FIELDS = {**_COMMON, "source": "cut.working_size", "text": "prompt", "no_text": "negative_prompt"}

# A model forgets adapters that others need the room of: so often a request is tried with its own.
_ATTEMPTS = 3
# No message to a model may be longer than 2 GiB.
_LARGEST_ADAPTER = (2 << 30) - (1 << 20)


@dataclass(frozen=True)
class Weights:
    """What the loaded weights were made for, and what their passes cost."""

    digest: str
    size: int  # longer side in pixels
    multiple: int  # sides are multiples of this many pixels
    factor: int  # pixels to a latent
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    schedulers: tuple[str, ...]
    margin: int = 0  # working pixels drawn anew around a hole
    passes: tuple[Mapping[str, Any], ...] = ()

    def seconds_for(self, rows: int, area: int) -> float:
        """What a pass of so many rows over this latent area takes with nobody beside it, about.

        Measured by the model when it was loaded; 0 if it has not told.
        """
        if not self.passes:
            return 0.0
        nearest = min(self.passes, key=lambda known: abs(math.log(known["area"] / area)))
        measured = min(nearest["seconds"], key=lambda known: abs(int(known) - rows))
        return nearest["seconds"][measured] / int(measured) * rows * area / nearest["area"]


@dataclass(frozen=True)
class Noise:
    """How the way from noise to picture is walked; everything is decided."""

    seed: int
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: str
    reproducible: bool


@dataclass(frozen=True)
class Adapter:
    """An adapter by its artifact's name, and how strongly it acts."""

    artifact: str
    strength: float = 1.0

    @property
    def key(self) -> str:
        """The SHA-256 of its bytes, by which models know it."""
        return self.artifact.removeprefix(PREFIX)


@dataclass(frozen=True, eq=False)
class Denoised:
    """Latents (4, h, w), and the digest of the weights that made them."""

    latents: np.ndarray
    weights: str


Shown = Callable[[np.ndarray], None]


@dataclass(frozen=True)
class Denoiser:
    """A model that walks from noise to latents. Bound to one run."""

    served: Served
    run: Run
    store: ArtifactStore
    fitted: Sent  # adapters this process has held against the model lately

    async def weights(self) -> Weights:
        """What the loaded weights were made for."""
        facts = await self.served.facts()
        own = facts["defaults"]
        return Weights(
            digest=facts["weights"],
            size=int(facts["size"]),
            multiple=int(facts["multiple"]),
            factor=int(facts["factor"]),
            steps=int(own["steps"]),
            guidance=float(own["guidance"]),
            picture_guidance=float(own.get("picture_guidance", 1.0)),
            scheduler=own["scheduler"],
            schedulers=tuple(facts["schedulers"]),
            margin=int(own.get("margin", 0)),
            passes=tuple(facts.get("passes", ())),
        )

    async def check(self, adapters: Sequence[Adapter]) -> None:
        """Finds out, before any other work is done, whether the model can take these adapters."""
        for n, adapter in enumerate(adapters):
            if adapter.key.encode() not in self.fitted:
                await self.fit(adapter.artifact, _field(n))

    async def fit(self, adapter: str, field: str) -> Mapping[str, Any]:
        """Holds an adapter against the model, which keeps it; what the model says of it.

        InvalidRequest for the `field` that names it if nothing in it fits, or it is too large.
        """
        size = (await self.store.describe(adapter)).size
        most = min((await self.served.facts())["adapters"]["budget_bytes"], _LARGEST_ADAPTER)
        if size > most:
            raise InvalidRequest(
                f"the adapter has {size} bytes, and at most {most} are read here; use a smaller one",
                field=field,
            )
        data = np.frombuffer(await self.store.load(adapter), np.uint8)
        asked = {"ask": text("adapter"), "adapter": data}
        try:
            async with aclosing(self.served.stream(asked, deadline=self.run.deadline)) as replies:
                reply: Tensors = await anext(replies, {})
        except InvalidRequest as error:
            raise InvalidRequest(error.message, field=field, **error.facts) from None
        if "facts" not in reply:
            raise InternalError(f"{self.served.name} told nothing about an adapter")
        self.fitted.add(adapter.removeprefix(PREFIX).encode())
        return from_text(reply["facts"])

    async def _walk(
        self,
        inputs: Tensors,
        noise: Noise,
        adapters: Sequence[Adapter],
        work: Work,
        preview_every: int,
        preview: Shown | None,
    ) -> Denoised:
        """Every step is reported to `work`. Every so many steps `preview` is called with the clean latents
        as foreseen; it must return at once."""
        inputs = {
            **inputs,
            "seed": np.array([noise.seed], np.uint64),
            "steps": np.array([noise.steps], np.int32),
            "scheduler": text(noise.scheduler),
            "reproducible": np.array([noise.reproducible], np.uint8),
            "preview_every": np.array([preview_every if preview else 0], np.int32),
        }
        worn = {_field(n): adapter for n, adapter in enumerate(adapters) if adapter.strength}
        if worn:
            told = [{"key": adapter.key, "strength": adapter.strength} for adapter in worn.values()]
            inputs["adapters"] = np.frombuffer(json.dumps(told).encode(), np.uint8)
        for attempt in range(_ATTEMPTS):
            for field, adapter in worn.items() if attempt else ():
                await self.fit(adapter.artifact, field)
            try:
                return await self._listen(inputs, work, preview)
            except IntarsiaError as error:
                if model_reason(error) != "UNKNOWN_ADAPTER":
                    raise
        raise Busy(
            f"{self.served.name} has no room to keep these adapters until they are worn; try again later, or "
            "with fewer or smaller ones",
            model=self.served.name,
        )

    async def _listen(self, inputs: Tensors, work: Work, preview: Shown | None) -> Denoised:
        latents, made_by = None, ""
        async with aclosing(self.served.stream(inputs, deadline=self.run.deadline)) as beats:
            async for beat in beats:
                # Not before: a request may wait while the model is loaded anew, with other weights.
                made_by = made_by or (await self.weights()).digest
                done, of = (int(number) for number in beat["progress"])
                work.stepped(done, of)
                if "latents" not in beat:
                    continue
                if done == of:
                    latents = beat["latents"]
                elif preview is not None:
                    preview(beat["latents"])
        if latents is None:
            raise ModelDown(f"{self.served.name} ended its stream before the last step; try again")
        return Denoised(latents, made_by)


def _field(n: int) -> str:
    """Where a request names its n-th adapter."""
    return f"adapters[{n}].adapter"


class InstructPix2Pix(Denoiser):
    """Edits latents by instruction."""

    async def denoise(
        self,
        source: np.ndarray,
        words: np.ndarray,
        no_words: np.ndarray,
        noise: Noise,
        work: Work,
        *,
        adapters: Sequence[Adapter] = (),
        preview_every: int = 0,
        preview: Shown | None = None,
    ) -> Denoised:
        """The edited latents, shaped like `source`, (4, h, w)."""
        inputs = {
            "source": source,
            "text": words,
            "no_text": no_words,
            "guidance": np.array([noise.guidance, noise.picture_guidance], np.float32),
        }
        return await self._walk(inputs, noise, adapters, work, preview_every, preview)


class Inpaint(Denoiser):
    """Fills a hole in latents."""

    async def denoise(
        self,
        masked: np.ndarray,
        spread: np.ndarray,
        hole: np.ndarray,
        words: np.ndarray,
        no_words: np.ndarray,
        noise: Noise,
        work: Work,
        *,
        adapters: Sequence[Adapter] = (),
        preview_every: int = 0,
        preview: Shown | None = None,
    ) -> Denoised:
        """The latents (4, h, w) of the filled picture.

        `masked` and `spread` are mean and deviation of the encoded picture whose hole is grey, `hole`
        (1, h, w) is 1 where it is filled.
        """
        inputs = {
            "source": masked,
            "spread": spread,
            "hole": hole,
            "text": words,
            "no_text": no_words,
            "guidance": np.array([noise.guidance], np.float32),
        }
        return await self._walk(inputs, noise, adapters, work, preview_every, preview)

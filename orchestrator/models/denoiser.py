"""Denoisers: from noise to latents, step by step: by instruction, or into a hole."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from intarsia.errors import Busy, IntarsiaError, InternalError, ModelDown
from orchestrator.models.adapters import AdapterRef, AdapterUploads, adapter_field
from orchestrator.models.checkpointed_stream import CheckpointedStream, Checkpoints, OnPreview
from orchestrator.models.client import ModelClient
from orchestrator.models.facts import ModelFacts
from orchestrator.models.sampling import ResolvedSampling, model_names
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run, Work
from orchestrator.triton.errors import model_reason
from orchestrator.triton.lease import Lease
from orchestrator.triton.tensors import Tensors, from_text, text

COMMON_FIELDS = {
    "seed": "sampling.seed",
    "steps": "sampling.steps",
    "guidance": "sampling.guidance",
    "cost.steps": "sampling.steps",
    "cost.guidance": "sampling.guidance",
    "cost.scheduler": "sampling.scheduler",
    "scheduler": "sampling.scheduler",
    "preview_every": "preview_every",
    "adapters": "adapters",
    "checkpoint": "checkpoint",  # not of a request: what was kept of it
    "checkpoint_every": "checkpoint_every",
    "adapter": "adapter",  # in a message of its own, which brings the field along
}
EDIT_FIELDS = {
    **COMMON_FIELDS,
    "source": "cut.working_size",
    "text": "instruction",
    "no_text": "negative_instruction",
}
FILL_FIELDS = {**COMMON_FIELDS, "source": "cut.working_size", "text": "prompt", "no_text": "negative_prompt"}

# A model drops adapters when others need the memory. So many times a request is tried with its own.
_ATTEMPTS = 3


class Conditioning(Protocol):
    """The conditioning of a denoiser for one sheet, as the inputs of its model."""

    def inputs(self) -> Tensors: ...


@dataclass(frozen=True, eq=False)
class EditConditioning:
    """The latents (4, h, w) of the picture to edit, and embeddings of the two instructions."""

    source: np.ndarray
    text: np.ndarray
    no_text: np.ndarray

    def inputs(self) -> Tensors:
        return {"source": self.source, "text": self.text, "no_text": self.no_text}


@dataclass(frozen=True, eq=False)
class FillConditioning:
    """Mean `source` and deviation `spread` (4, h, w) of the encoded picture whose hole is grey, `hole`
    (1, h, w), 1 where it is filled, and embeddings of the two prompts."""

    source: np.ndarray
    spread: np.ndarray
    hole: np.ndarray
    text: np.ndarray
    no_text: np.ndarray

    def inputs(self) -> Tensors:
        return {
            "source": self.source,
            "spread": self.spread,
            "hole": self.hole,
            "text": self.text,
            "no_text": self.no_text,
        }


@dataclass(frozen=True)
class Cost:
    """The cost of a request: `evaluations` of the network per step of a sheet, and `seconds` of the network
    for all sheets and candidates when it runs nothing else."""

    evaluations: int
    seconds: float


@dataclass(frozen=True)
class Denoiser:
    """A model that turns noise into latents step by step. Bound to one run."""

    client: ModelClient
    run: Run
    adapters: AdapterUploads

    async def check_weights(self, weights: WeightsRef) -> None:
        """Raises ModelDown if the model has other weights by now."""
        deadline = self.run.deadline
        await self.client.run(
            lambda lease: lease.facts(deadline=deadline), deadline=deadline, weights=weights, work=0.0
        )

    async def check_adapters(self, adapters: Sequence[AdapterRef]) -> None:
        """Finds out, before any other work is done, whether the model can use these adapters."""
        await self.adapters.check(adapters)

    async def upload_adapter(self, adapter: str, field: str) -> Mapping[str, Any]:
        """Uploads an adapter and returns the model's report about it; errors name the `field`."""
        return await self.adapters.inspect(AdapterRef(adapter), field)

    async def cost(
        self,
        sheets: Sequence[tuple[int, int]],
        sampling: ResolvedSampling,
        weights: WeightsRef,
        *,
        equal_prompts: bool,
        candidates: int,
    ) -> Cost:
        """The estimate by these weights for sheets of (height, width) in latents.

        `equal_prompts`: whether text and negative text are the same.
        """
        question = {
            "sheets": [list(sheet) for sheet in sheets],
            "steps": sampling.steps,
            "scheduler": sampling.scheduler,
            "guidance": model_names(sampling.guidance),
            "equal_prompts": equal_prompts,
            "candidates": candidates,
        }
        inputs = {"ask": text("cost"), "cost": text(question), **weights.inputs()}
        deadline = self.run.deadline

        reply = await self.client.run(
            lambda lease: lease.first_reply(inputs, deadline=deadline),
            deadline=deadline,
            weights=weights,
            work=0.0,
        )
        if "facts" not in reply:
            raise InternalError(f"{self.client.name} sent no cost")
        cost = from_text(reply["facts"])
        return Cost(int(cost["evaluations"]), float(cost["seconds"]))

    async def denoise(
        self,
        conditioning: Conditioning,
        sampling: ResolvedSampling,
        work: Work,
        weights: WeightsRef,
        *,
        adapters: Sequence[AdapterRef] = (),
        preview_every: int = 0,
        preview: OnPreview | None = None,
        checkpoints: Checkpoints | None = None,
    ) -> np.ndarray:
        """The denoised latents, made by these weights.

        Reports every step to `work`. Every so many steps `preview` is called with the estimate of the clean
        latents; it must return at once. With `checkpoints` it goes on from the last one; one that the model
        refuses, since it is of other weights or another request, is dropped.

        If the model goes down in the middle, it goes on, or begins again, when there is one.
        """
        inputs = {
            **conditioning.inputs(),
            "seed": np.array([sampling.seed], np.uint64),
            "steps": np.array([sampling.steps], np.int32),
            "scheduler": text(sampling.scheduler),
            "reproducible": np.array([sampling.reproducible], np.uint8),
            "preview_every": np.array([preview_every if preview else 0], np.int32),
            **weights.inputs(),
        }
        used = {adapter_field(n): adapter for n, adapter in enumerate(adapters) if adapter.strength}
        if used:
            uses = [{"key": adapter.key, "strength": adapter.strength} for adapter in used.values()]
            inputs["adapters"] = np.frombuffer(json.dumps(uses).encode(), np.uint8)

        stream = CheckpointedStream(work, preview, checkpoints, self.run.deadline)

        async def run(lease: Lease) -> np.ndarray | None:
            """None if the model dropped the adapters again and again before they were used."""
            facts = ModelFacts.read(await lease.facts(deadline=self.run.deadline))
            if facts.guidance:
                # In the order of the model's input: a request that was stored may have another.
                guidance = [sampling.guidance[name] for name in facts.guidance]
                inputs["guidance"] = np.array(guidance, np.float32)
            for _ in range(_ATTEMPTS):
                uploads = {adapter: lease.known.upload_of(adapter.known_as) for adapter in used.values()}
                try:
                    return await stream.latents(lease, inputs)
                except IntarsiaError as error:
                    if model_reason(error) != "UNKNOWN_ADAPTER":
                        raise
                for adapter, upload in uploads.items():
                    lease.known.forget(adapter.known_as, upload)
                for field, adapter in used.items():
                    await self.adapters.ensure(adapter, field, lease)
            return None

        cells = math.prod(inputs["source"].shape[1:])
        while True:
            try:
                denoised = await self.client.run(
                    run, deadline=self.run.deadline, weights=weights, work=float(sampling.steps * cells)
                )
                break
            except ModelDown as error:
                stream.begin_again(error)
        if denoised is None:
            raise Busy(
                f"{self.client.name} has no room to keep these adapters until they are used; try again "
                "later, or with fewer or smaller ones",
                model=self.client.name,
            )
        return denoised

"""Runs of recipes by themselves, which end as if the process had been killed, and begin again."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from canvas.region import Click, Clicks, Region
from orchestrator.deadline import Deadline
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.pictures import Pictures
from orchestrator.models.admission import WaitLimits
from orchestrator.models.registry import MODELS
from orchestrator.runs.run import Run
from orchestrator.stages.factory import StageFactory, Stages
from orchestrator.stages.memory import Memory
from orchestrator.stages.trajectory_memory import CheckpointLimits
from orchestrator.triton.models import Models
from orchestrator.triton.stall import StallLimits
from orchestrator.workflows.edit_region import Edit, EditRegion, ResolvedEdit, models, resolve
from orchestrator.workflows.sampling import Sampling
from orchestrator.workflows.selection import FieldRegion
from store.disk import DiskStore
from tests.orchestrator.doubles.triton import Triton

CLICK = FieldRegion(Region(Clicks((Click(80.0, 60.0),))))


@asynccontextmanager
async def stages_of(
    triton: Triton,
    folder: Path,
    memory: Memory | None = None,
    limits: CheckpointLimits | None = None,
    changed: Callable[[], None] = lambda: None,
) -> AsyncIterator[Stages]:
    """The stages of a run, as a process that was just started would make them."""
    pictures = Pictures(DiskStore(folder), PictureLimits(80), PictureCache(1 << 26), DecodingBudget(4e9))
    decoupled = [name for name, spec in MODELS.items() if spec.decoupled]
    served = Models({name: [triton.url] for name in MODELS}, StallLimits(), decoupled=decoupled)
    factory = StageFactory(served, pictures, WaitLimits(), limits)
    try:
        yield factory.at(Run(Deadline.after(60), changed), memory)
    finally:
        await served.close()


async def resolved_edit(triton: Triton, folder: Path, picture: bytes, **options: Any) -> ResolvedEdit:
    """An edit of what is clicked on in a picture, which is stored."""
    steps = options.pop("steps", 10)
    async with stages_of(triton, folder) as at:
        stored = await at.pictures.store.put_bytes(picture, "image/png")
        request = EditRegion(
            picture=stored.name,
            edits=options.pop("edits", (Edit(CLICK, "make it blue"),)),
            sampling=Sampling(seed=7, steps=steps, reproducible=True),
            **options,
        )
        facts = {name: await at_facts(at, name) for name in models(request)}
    return resolve(request, facts)


async def at_facts(at: Stages, model: str) -> Any:
    """The facts of a model."""
    client = at.denoisers[model].client if model in at.denoisers else getattr(at, model).client
    return await client.facts()


async def kill(run: asyncio.Future[Any]) -> None:
    """Ends a run where it is."""
    run.cancel()
    await asyncio.wait({run})
    assert run.cancelled()

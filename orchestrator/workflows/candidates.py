"""Delivery: every candidate made, stored with its parameters, shown as was asked for, and accounted for."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from functools import reduce

import numpy as np

from canvas.collage import Row, Spacing
from orchestrator.aio import gather_or_cancel
from orchestrator.media.picture.picture import in_depth
from orchestrator.models.adapters import AdapterRef
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.workflows.compose import Draw, Patchwork
from orchestrator.workflows.results import Candidate, EditResult, Manifest, View
from orchestrator.workflows.sampling import on_sheet
from orchestrator.workflows.segment_region import keep

# The same for all candidates, or one for each.
SHARED_VIEWS, OWN_VIEWS = ("overlay", "blank"), ("side_by_side", "layer")

# Candidates of a job hold no more bytes than this together, unless a single one does.
_ROOM = 1 << 30


@dataclass(frozen=True)
class Collage:
    """A comparison: a row for every candidate. Spaces are pixels; captions are none, or three."""

    spacing: Spacing = field(default_factory=Spacing)
    captions: tuple[str, ...] = ()


@dataclass(frozen=True)
class Output:
    """How the result is written: as PNG, TIFF, WEBP or JPEG; None for the picture's own, if lossless."""

    format: str | None = None
    quality: int = 95
    views: tuple[str, ...] = ()
    collage: Collage | None = None


@dataclass(frozen=True)
class MadeWith:
    """What candidates are made with, for the records. `asked` is what was asked for in each region."""

    model: str
    family: str
    adapters: Sequence[AdapterRef]
    asked: Sequence[Mapping[str, object]]
    notes: Sequence[str]


async def deliver(
    patches: Patchwork,
    noises: Sequence[ResolvedSampling],
    draw: Draw,
    output: Output,
    at: Stages,
    *,
    made_with: MadeWith,
) -> EditResult:
    """Make all candidates at once, as far as there is room for them, and store them one at a time."""
    of = len(noises) * (patches.sheets + 1)
    room, turn = asyncio.Semaphore(max(1, _ROOM // patches.nbytes)), asyncio.Lock()

    async def one(noise: ResolvedSampling) -> tuple[Candidate, dict[str, str], tuple[str, ...]]:
        window, weights = await patches.make(noise, draw, at, first=noise is noises[0], of=of)
        used = {
            "vae": await at.vae.digest(made_with.family),
            "text_encoder": await at.text_encoder.digest(made_with.family),
            made_with.model: weights,
        }
        async with turn:
            with at.stage("inlay", of=of):
                kept, notes = await at.pictures.keep(
                    patches.picture,
                    window,
                    output.format,
                    output.quality,
                    parameters=_parameters(patches, noise, made_with, weights),
                    window=patches.window,
                )
                views = await _own_views(patches, window, output, at)
        return Candidate(kept.name, noise.seed, views), used, notes

    async def in_room(noise: ResolvedSampling) -> tuple[Candidate, dict[str, str], tuple[str, ...]]:
        async with room:
            return await one(noise)

    made = await gather_or_cancel(*(in_room(noise) for noise in noises))
    candidates = tuple(candidate for candidate, _, _ in made)
    _, used, notes = made[0]
    mask = await asyncio.to_thread(_together, patches)
    first = patches.plans[0]
    sheet = first.laid.sheets[0].working
    return EditResult(
        picture=candidates[0].picture,
        mask=(await keep(mask, 1.0, at)).mask if len(patches.plans) > 1 else first.part.region.mask,
        region=first.part.region,
        candidates=candidates,
        parts=tuple(found.part for found in patches.plans),
        views=await _shared_views(patches, mask, output, at),
        collage=await _collage(patches, mask, candidates, output.collage, at) if output.collage else "",
        manifest=Manifest(
            noise=noises[0],
            crop=first.laid.crop,
            working_width=sheet.width,
            working_height=sheet.height,
            stage_seconds=dict(at.run.times),
            weights={**used, **dict(item for found in patches.plans for item in found.weights.items())},
            adapters={adapter.artifact: adapter.strength for adapter in made_with.adapters},
            notes=(*notes, *dict.fromkeys(made_with.notes)),
        ),
    )


def _whole(patches: Patchwork, window: np.ndarray) -> np.ndarray:
    """The picture with a candidate's window in it."""
    pixels = patches.picture.pixels.copy()
    pixels[patches.window.window] = window
    return pixels


def _parameters(
    patches: Patchwork, noise: ResolvedSampling, made_with: MadeWith, weights: str
) -> dict[str, object]:
    """What is written into the file: all that makes the same picture again, and no times."""
    return {
        "model": made_with.model,
        "weights": weights,
        **asdict(noise),
        "adapters": {adapter.artifact: adapter.strength for adapter in made_with.adapters},
        "match_colours": patches.match_colours,
        "regions": [
            {
                **asked,
                "mask": found.part.region.mask,
                "feather": found.feather,
                "overlap": found.laid.overlap,
                "sheets": [
                    {
                        "box": list(asdict(sheet.box).values()),
                        "working": [sheet.working.width, sheet.working.height],
                        "seed": on_sheet(noise, tile).seed,
                    }
                    for tile, sheet in enumerate(found.laid.sheets)
                ],
            }
            for found, asked in zip(patches.plans, made_with.asked, strict=True)
        ],
    }


def _together(patches: Patchwork) -> np.ndarray:
    """The mask of all regions, float32 of the picture's size; of a single one, its own."""
    return reduce(np.maximum, (found.mask for found in patches.plans))


async def _own_views(patches: Patchwork, window: np.ndarray, output: Output, at: Stages) -> tuple[View, ...]:
    asked = [kind for kind in OWN_VIEWS if kind in output.views]
    if not asked:
        return ()
    pixels = await asyncio.to_thread(_whole, patches, window)
    return tuple(
        [
            View(kind, (await at.pictures.keep_view(kind, patches.picture, after=pixels)).name)
            for kind in asked
        ]
    )


async def _shared_views(patches: Patchwork, mask: np.ndarray, output: Output, at: Stages) -> tuple[View, ...]:
    asked = [kind for kind in SHARED_VIEWS if kind in output.views]
    return tuple(
        [View(kind, (await at.pictures.keep_view(kind, patches.picture, mask=mask)).name) for kind in asked]
    )


async def _collage(
    patches: Patchwork, mask: np.ndarray, candidates: Sequence[Candidate], collage: Collage, at: Stages
) -> str:
    picture = patches.picture

    async def rows() -> AsyncIterator[Row]:
        for candidate in candidates:
            made = await at.pictures.load(candidate.picture)
            # Its file may hold less than the picture does.
            result = await asyncio.to_thread(in_depth, made.pixels, picture.pixels.dtype)
            captions = tuple(text.replace("{seed}", str(candidate.seed)) for text in collage.captions)
            yield Row(picture.pixels, mask, result, captions)

    kept = await at.pictures.keep_collage(rows(), len(candidates), collage.spacing, picture.icc)
    return kept.name

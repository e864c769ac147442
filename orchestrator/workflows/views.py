"""Views: other pictures of a result, stored when the request names them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence

import numpy as np

from canvas.collage import CollageRow
from orchestrator.media.picture.picture import in_depth
from orchestrator.stages.factory import Stages
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.picture_request import Collage, Output
from orchestrator.workflows.results import Candidate, View

# The same for all candidates, or one for each.
SHARED_VIEWS, CANDIDATE_VIEWS = ("overlay", "blank"), ("side_by_side", "layer")


async def candidate_views(
    composition: Composition, pixels: np.ndarray, output: Output, at: Stages
) -> tuple[View, ...]:
    """Stores the views of one candidate, whose window has these pixels."""
    kinds = [kind for kind in CANDIDATE_VIEWS if kind in output.views]
    if not kinds:
        return ()
    after = await asyncio.to_thread(composition.whole, pixels)
    before = composition.picture
    return tuple(
        [View(kind, (await at.pictures.keep_view(kind, before, after=after)).name) for kind in kinds]
    )


async def shared_views(
    composition: Composition, mask: np.ndarray, output: Output, at: Stages
) -> tuple[View, ...]:
    """Stores the views that are the same for all candidates."""
    kinds, before = [kind for kind in SHARED_VIEWS if kind in output.views], composition.picture
    return tuple([View(kind, (await at.pictures.keep_view(kind, before, mask=mask)).name) for kind in kinds])


async def store_collage(
    composition: Composition, mask: np.ndarray, candidates: Sequence[Candidate], collage: Collage, at: Stages
) -> str:
    """Stores a collage with a row for every candidate and returns its artifact."""
    picture = composition.picture

    async def rows() -> AsyncIterator[CollageRow]:
        for candidate in candidates:
            stored = await at.pictures.load(candidate.picture)
            # A file may hold less than the picture does.
            result = await asyncio.to_thread(in_depth, stored.pixels, picture.pixels.dtype)
            captions = tuple(text.replace("{seed}", str(candidate.seed)) for text in collage.captions)
            yield CollageRow(picture.pixels, mask, result, captions)

    return (await at.pictures.keep_collage(rows(), len(candidates), collage.spacing, picture.icc)).name

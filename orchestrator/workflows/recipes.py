"""The recipes that jobs carry out, by the rpc that starts them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from orchestrator.stages.factory import Stages
from orchestrator.workflows.edit_region import ResolvedEdit, edit_region
from orchestrator.workflows.fill_region import ResolvedFill, fill_region
from orchestrator.workflows.results import EditResult
from orchestrator.workflows.track_region import ResolvedTrack, Tracked, track_region


@dataclass(frozen=True)
class Recipe:
    """A recipe, and the types of its request and its result, both of which can be stored as JSON."""

    carry_out: Callable[[Any, Stages], Awaitable[Any]]
    request: type
    result: type


RECIPES: Mapping[str, Recipe] = {
    "EditRegion": Recipe(edit_region, ResolvedEdit, EditResult),
    "FillRegion": Recipe(fill_region, ResolvedFill, EditResult),
    "TrackRegion": Recipe(track_region, ResolvedTrack, Tracked),
}

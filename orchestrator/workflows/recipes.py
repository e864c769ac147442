"""The recipes that jobs carry out, by the rpc that starts them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intarsia.errors import Cancelled
from orchestrator.runs.needs import Needs
from orchestrator.stages.factory import Stages
from orchestrator.workflows.edit_region import MODEL as edit_model
from orchestrator.workflows.edit_region import ResolvedEdit, edit_needs, edit_region
from orchestrator.workflows.fill_region import MODEL as fill_model
from orchestrator.workflows.fill_region import ResolvedFill, fill_needs, fill_region
from orchestrator.workflows.remove_region import ResolvedRemoval, removal_needs, remove_region
from orchestrator.workflows.results import EditResult
from orchestrator.workflows.track_region import MODEL as track_model
from orchestrator.workflows.track_region import ResolvedTrack, Tracked, track_needs, track_region


@dataclass(frozen=True)
class Recipe:
    """A recipe, and the types of its request and its result, both of which can be stored as JSON.

    `needs` returns what a job takes while it runs, `model` names the model that does most of its work, and
    `long` says that it takes as long as hundreds of others, which should not have to wait for it.

    A job is written with the `version` of its recipe, and run by no other. It is raised when a stored request
    or what is remembered of a job would mean something else to the recipe. A field that is added with a
    default does not raise it.

    `partial` makes a result of what an earlier run has finished, and returns None if that is nothing.
    """

    carry_out: Callable[[Any, Stages], Awaitable[Any]]
    request: type
    result: type
    needs: Callable[[Any, Stages], Awaitable[Needs]]
    model: str
    long: bool = False
    version: int = 1
    partial: Callable[[Any, Stages], Awaitable[Any]] | None = None


def _partial(carry_out: Callable[[Any, Stages], Awaitable[Any]]) -> Callable[[Any, Stages], Awaitable[Any]]:
    async def of_what_is_remembered(request: Any, at: Stages) -> Any:
        at.run.enough.set()
        try:
            return await carry_out(request, at)
        except Cancelled:
            return None

    return of_what_is_remembered


RECIPES: Mapping[str, Recipe] = {
    "EditRegion": Recipe(
        edit_region, ResolvedEdit, EditResult, edit_needs, edit_model, partial=_partial(edit_region)
    ),
    "FillRegion": Recipe(
        fill_region, ResolvedFill, EditResult, fill_needs, fill_model, partial=_partial(fill_region)
    ),
    "RemoveRegion": Recipe(
        remove_region,
        ResolvedRemoval,
        EditResult,
        removal_needs,
        fill_model,
        partial=_partial(remove_region),
    ),
    "TrackRegion": Recipe(track_region, ResolvedTrack, Tracked, track_needs, track_model, long=True),
}

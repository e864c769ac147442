"""Removing what a region shows, by the filler or by the editor, whichever is better at it."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import Any

from orchestrator.models.facts import Facts, ModelFacts
from orchestrator.runs.needs import Needs
from orchestrator.stages.factory import Stages
from orchestrator.workflows import edit_region, fill_region
from orchestrator.workflows.edit_region import Edit, EditRegion, ResolvedEdit
from orchestrator.workflows.fill_region import FillRegion, ResolvedFill
from orchestrator.workflows.picture_request import PictureRequest
from orchestrator.workflows.results import EditResult
from orchestrator.workflows.selection import FieldRegion

# What an editor is told, since the request has no words.
INSTRUCTION = "remove it"


@dataclass(frozen=True, kw_only=True)
class RemoveRegion(PictureRequest):
    """A region of a picture whose content is to go, as the client sent it."""

    target: FieldRegion


@dataclass(frozen=True, kw_only=True)
class ResolvedRemoval:
    """A removal in which nothing is left open: an edit or a fill, whose sampling and weights it has."""

    work: ResolvedEdit | ResolvedFill


def models(request: RemoveRegion) -> tuple[str, ...]:
    """The models among which a removal is decided, and those that it needs."""
    return tuple(dict.fromkeys((*fill_region.models(_fill(request)), edit_region.MODEL)))


def resolve(request: RemoveRegion, facts: Facts) -> ResolvedRemoval:
    """Takes the denoiser whose bundle says that it removes more.

    Of equals, and of those that say nothing, it is the filler, which does not see what is to go.
    """
    editor, filler = (ModelFacts.read(facts[model]) for model in (edit_region.MODEL, fill_region.MODEL))
    if editor.removal > filler.removal:
        return ResolvedRemoval(work=edit_region.resolve(_edit(request), facts))
    return ResolvedRemoval(work=fill_region.resolve(_fill(request), facts))


async def removal_needs(resolved: ResolvedRemoval, at: Stages) -> Needs:
    """What a removal takes while it runs."""
    if isinstance(resolved.work, ResolvedEdit):
        return await edit_region.edit_needs(resolved.work, at)
    return await fill_region.fill_needs(resolved.work, at)


async def remove_region(resolved: ResolvedRemoval, at: Stages) -> EditResult:
    """Edit or fill, as was decided."""
    if isinstance(resolved.work, ResolvedEdit):
        return await edit_region.edit_region(resolved.work, at)
    return await fill_region.fill_region(resolved.work, at)


def _edit(request: RemoveRegion) -> EditRegion:
    return EditRegion(edits=(Edit(request.target, INSTRUCTION),), is_removal=True, **_settings(request))


def _fill(request: RemoveRegion) -> FillRegion:
    return FillRegion(target=request.target, **_settings(request))


def _settings(request: RemoveRegion) -> dict[str, Any]:
    return {field.name: getattr(request, field.name) for field in fields(PictureRequest)}

"""Finding a region without changing anything: the part of an edit that comes first."""

from __future__ import annotations

from dataclasses import dataclass

from orchestrator.aio import gather_or_cancel
from orchestrator.stages.factory import Stages
from orchestrator.workflows.instance import Instance, store_instance
from orchestrator.workflows.selection import FieldRegion, select


@dataclass(frozen=True)
class SegmentRegion:
    """A region to find in a picture. If it is `strict`, one with doubts about it is refused."""

    picture: str
    target: FieldRegion
    strict: bool = False


@dataclass(frozen=True)
class Segmented:
    """Every candidate by falling score, and the region that an edit would use."""

    instances: tuple[Instance, ...]
    region: Instance
    width: int
    height: int
    notes: tuple[str, ...]


async def segment_region(request: SegmentRegion, at: Stages) -> Segmented:
    """Find the candidates, choose, correct and shape one, store every mask."""
    picture = await at.pictures.load(request.picture)
    with at.stage("segment"):
        selection = await select(picture, request.target, at, as_found=True, strict=request.strict)
    with at.stage("inlay"):
        region, *instances = await gather_or_cancel(
            store_instance(selection.mask, selection.score, at, selection.stability),
            *(store_instance(one.mask, one.score, at, one.stability) for one in selection.candidates),
        )
    return Segmented(
        tuple(instances), region, picture.width, picture.height, (*picture.notes, *selection.notes)
    )

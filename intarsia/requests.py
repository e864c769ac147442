"""Requests with all that they name: pictures, masks and adapters, uploaded unless the server has them."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeAlias

from intarsia import artifacts
from intarsia.artifacts import Source, is_name
from intarsia.editing import (
    PictureRequest,
    edit_region_request,
    fill_region_request,
    remove_region_request,
)
from intarsia.files import AsyncResultFile, ResultFile
from intarsia.pixels import Array, PilImage
from intarsia.region import Where, as_region, put
from intarsia.results import ArtifactInfo
from intarsia.retry import Calls
from intarsia.settings import Settings
from intarsia.tracking import track_region_request
from intarsia.v1 import region_pb2
from intarsia.v1.editing_pb2 import (
    EditRegionRequest,
    FillRegionRequest,
    PlanRegionRequest,
    RemoveRegionRequest,
)
from intarsia.v1.segmentation_pb2 import SegmentRegionRequest, TrackRegionRequest

if TYPE_CHECKING:
    from typing_extensions import Unpack

Stored: TypeAlias = ArtifactInfo | AsyncResultFile | ResultFile
Picture: TypeAlias = "Source | Stored | PilImage | Array"
Request: TypeAlias = PictureRequest | TrackRegionRequest
Further: TypeAlias = tuple[Where, str] | tuple[Where, str, str]


async def artifact_name(calls: Calls, picture: Picture) -> str:
    """The name of a picture, a mask or an adapter, which is uploaded if it is not stored yet."""
    if isinstance(picture, Stored) or is_name(picture):
        return str(picture)
    return (await artifacts.upload(calls, picture, "", None)).name


async def edit_region(
    calls: Calls,
    region: Where,
    instruction: str,
    negative_instruction: str,
    further: Iterable[Further],
    **settings: Unpack[Settings],
) -> EditRegionRequest:
    """The request to edit, without its picture."""
    request = edit_region_request(instruction, negative_instruction, **settings)
    request.region.CopyFrom(await _region_message(calls, region))
    for where, instruction, *negative in further:
        another = request.further_edits.add(instruction=instruction, negative_instruction="".join(negative))
        another.region.CopyFrom(await _region_message(calls, where, "further"))
    await _add_adapters(calls, request, settings)
    return request


async def fill_region(
    calls: Calls, region: Where, prompt: str, negative_prompt: str, **settings: Unpack[Settings]
) -> FillRegionRequest:
    """The request to fill, without its picture."""
    request = fill_region_request(prompt, negative_prompt, **settings)
    request.region.CopyFrom(await _region_message(calls, region))
    await _add_adapters(calls, request, settings)
    return request


async def remove_region(calls: Calls, region: Where, **settings: Unpack[Settings]) -> RemoveRegionRequest:
    """The request to remove, without its picture."""
    request = remove_region_request(**settings)
    request.region.CopyFrom(await _region_message(calls, region))
    await _add_adapters(calls, request, settings)
    return request


async def plan_region(calls: Calls, picture: Picture, request: PictureRequest) -> PlanRegionRequest:
    """The request to plan an edit, a fill or a removal of a picture."""
    planned = type(request)()
    planned.CopyFrom(request)
    planned.job.picture = await artifact_name(calls, picture)
    if isinstance(planned, EditRegionRequest):
        return PlanRegionRequest(edit_region=planned)
    if isinstance(planned, FillRegionRequest):
        return PlanRegionRequest(fill_region=planned)
    return PlanRegionRequest(remove_region=planned)


async def segment_region(
    calls: Calls, picture: Picture, region: Where, *, strict: bool = False
) -> SegmentRegionRequest:
    """The request to find a region of a picture."""
    name = await artifact_name(calls, picture)
    return SegmentRegionRequest(picture=name, region=await _region_message(calls, region), strict=strict)


async def track_region(
    calls: Calls, seen: Where | Mapping[int, Where], **settings: Any
) -> TrackRegionRequest:
    """The request to follow a region, without its clip."""
    request = track_region_request(**settings)
    sightings = seen.items() if isinstance(seen, Mapping) else [(0, seen)]
    for frame, region in sorted(sightings, key=itemgetter(0)):
        sighting = request.sightings.add()
        put(sighting, "frame", frame, "sightings.frame")
        sighting.region.CopyFrom(await _region_message(calls, region, "seen"))
    return request


async def _region_message(calls: Calls, where: Where, name: str = "region") -> region_pb2.Region:
    region = as_region(where, name)
    names = {path: await artifact_name(calls, source) for path, source in region.masks.items()}
    return region.naming(names)


async def _add_adapters(calls: Calls, request: PictureRequest, settings: Settings) -> None:
    adapters = settings.get("adapters") or ()
    if isinstance(adapters, str | bytes | os.PathLike | Stored):
        adapters = (adapters,)  # a single adapter, not a sequence of characters
    named = adapters.items() if isinstance(adapters, Mapping) else ((one, 1.0) for one in adapters)
    for adapter, strength in named:
        request.job.adapters.add(adapter=await artifact_name(calls, adapter), strength=strength)

"""Jobs of every kind, each with its seed given, so that its result has one right answer to the byte."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

import intarsia
from benchmarks import clips, workload
from intarsia.client import AsyncClient
from intarsia.requests import Request
from intarsia.results import PictureResult, TrackResult

WIDTH, HEIGHT = 160, 128
_SIDES = (48, 64, 80)  # of regions, in pixels
_STEPS = (4, 8, 16)
_PICTURES = 3
_FRAMES = 24


async def requests(client: AsyncClient, count: int, seed: int) -> list[Request]:
    """So many different requests, in turns edits, fills and tracks; what they need is uploaded."""
    pictures = [
        await client.upload(workload.png(workload.picture(WIDTH, HEIGHT, seed + number)))
        for number in range(_PICTURES)
    ]
    clip = await client.upload(_clip(seed))
    found: list[Request] = []
    for number, region in zip(range(count), workload.edits(WIDTH, HEIGHT, _SIDES, seed), strict=False):
        where, picture = intarsia.rectangle(*region.box), pictures[number % _PICTURES].name
        settings: Any = {
            "seed": region.seed,
            "steps": _STEPS[number // 5 % len(_STEPS)],
            "reproducible": True,
            "working_size": 64,
            "detach": True,
        }
        match number % 5:
            case 0:
                request: Request = await client.edit_request(where, region.instruction, **settings)
            case 1:
                request = await client.fill_request(where, **settings)
            case 2:  # with everything that is kept beside a result
                request = await client.edit_request(
                    where, region.instruction, candidates=2, preview_every=2, views=["layer"], **settings
                )
            case 3:
                request = await client.fill_request(where, layout="tiles", context=0.0, **settings)
            case _:
                request = await client.track_request(where, overlay=number % 2 == 0, detach=True)
                request.clip = clip.name
        if not isinstance(request, intarsia.v1.segmentation_pb2.TrackRegionRequest):
            request.job.picture = picture
        found.append(request)
    return found


def with_id(request: Request, request_id: str) -> Request:
    """The same request under another id."""
    copy = type(request)()
    copy.CopyFrom(request)
    target: Any = copy if hasattr(copy, "clip") else copy.job
    target.request_id = request_id
    return copy


def without_times(result: Any) -> Any:
    """A result without what no two runs share: its times. Its files are compared by their digests."""
    if isinstance(result, PictureResult):
        return replace(result, manifest=replace(result.manifest, stage_times={}))
    if isinstance(result, TrackResult):
        return replace(result, stage_times={})
    raise TypeError(f"{type(result).__name__} is no result of a job here")


def _clip(seed: int) -> bytes:
    """A picture that moves to the side."""
    still = workload.picture(WIDTH, HEIGHT, seed)
    return clips.encode(np.stack([np.roll(still, number, axis=1) for number in range(_FRAMES)]))

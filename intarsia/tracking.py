"""Requests to follow a region, from keyword arguments to messages. What is left out, the server chooses."""

from __future__ import annotations

from typing import Any

from intarsia.job_settings import set_job_settings
from intarsia.region import put
from intarsia.v1.segmentation_pb2 import TrackRegionRequest


def track_region_request(
    *, frames: int | None = None, overlay: bool = False, **settings: Any
) -> TrackRegionRequest:
    """The request without its clip and sightings."""
    request = TrackRegionRequest(overlay=overlay)
    if frames is not None:
        put(request, "frames", frames, "frames")
    set_job_settings(request, **settings)
    return request

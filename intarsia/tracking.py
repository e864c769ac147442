"""Requests to follow a region, from keyword arguments to messages. What is left out, the server chooses."""

from __future__ import annotations

import uuid
from datetime import timedelta

from intarsia.editing import duration
from intarsia.region import put
from intarsia.v1.segmentation_pb2 import TrackRegionRequest


def track_region_request(
    *,
    frames: int | None = None,
    overlay: bool = False,
    time_limit: float | timedelta | None = None,
    request_id: str | None = None,
) -> TrackRegionRequest:
    """The request without its clip and sightings."""
    request = TrackRegionRequest(overlay=overlay, request_id=request_id or str(uuid.uuid4()))
    if frames is not None:
        put(request, "frames", frames, "frames")
    if time_limit is not None:
        request.time_limit.CopyFrom(duration(time_limit))
    return request

"""Edit requests: from keyword arguments to the wire. What is None is left to the server."""

from __future__ import annotations

import uuid
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from intarsia import errors
from intarsia.region import put
from intarsia.v1 import editing_pb2 as v1

SCHEDULERS = {name.removeprefix("SCHEDULER_").lower(): value for name, value in v1.Scheduler.items() if value}
FORMATS = {name.removeprefix("FORMAT_").lower(): value for name, value in v1.Format.items() if value}


def edit_region_request(
    instruction: str,
    *,
    negative_instruction: str = "",
    seed: int | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    picture_guidance: float | None = None,
    scheduler: str | None = None,
    reproducible: bool = False,
    context: float | None = None,
    working_size: int | None = None,
    format: str | None = None,
    quality: int | None = None,
    preview_every: int = 0,
    time_limit: float | timedelta | None = None,
    request_id: str | None = None,
) -> v1.EditRegionRequest:
    """A request without its picture and region. The request id is drawn if it is not given."""
    request = v1.EditRegionRequest(request_id=request_id or str(uuid.uuid4()))
    values = {
        "instruction": instruction,
        "negative_instruction": negative_instruction,
        "preview_every": preview_every,
        "sampling.seed": seed,
        "sampling.steps": steps,
        "sampling.guidance": guidance,
        "sampling.picture_guidance": picture_guidance,
        "sampling.scheduler": _number(scheduler, SCHEDULERS, "sampling.scheduler"),
        "sampling.reproducible": reproducible,
        "cut.context": context,
        "cut.working_size": working_size,
        "output.format": _number(format, FORMATS, "output.format"),
        "output.quality": quality,
    }
    for path, value in values.items():
        group, _, name = path.rpartition(".")
        if value is not None:
            put(getattr(request, group) if group else request, name, value, path)
    if time_limit is not None:
        request.time_limit.CopyFrom(_duration(time_limit))
    return request


def _number(word: str | None, words: dict[str, int], field: str) -> int | None:
    if word is None:
        return None
    if word not in words:
        raise errors.InvalidRequest(f"unknown {field} {word!r}; one of: {', '.join(words)}", field=field)
    return words[word]


def _duration(limit: float | timedelta) -> Duration:
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else float(limit)
    if not 0 < seconds < 1e9:
        raise errors.InvalidRequest(
            f"time_limit must be a positive number of seconds, not {limit!r}", field="time_limit"
        )
    duration = Duration()
    duration.FromNanoseconds(round(seconds * 1e9))
    return duration

"""Requests to edit and to fill, from keyword arguments to messages. What is left out, the server chooses."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from google.protobuf.duration_pb2 import Duration

from intarsia import errors
from intarsia.region import put
from intarsia.settings import SETTINGS, VIEWS
from intarsia.v1 import editing_pb2 as v1

Request = v1.EditRegionRequest | v1.FillRegionRequest


def edit_region_request(
    instruction: str, negative_instruction: str = "", **settings: Any
) -> v1.EditRegionRequest:
    """The request without its picture, region and adapters."""
    request = v1.EditRegionRequest()
    put(request, "instruction", instruction, "instruction")
    put(request, "negative_instruction", negative_instruction, "negative_instruction")
    _set(request, settings)
    return request


def fill_region_request(prompt: str = "", negative_prompt: str = "", **settings: Any) -> v1.FillRegionRequest:
    """The request without its picture, region and adapters."""
    request = v1.FillRegionRequest()
    put(request, "prompt", prompt, "prompt")
    put(request, "negative_prompt", negative_prompt, "negative_prompt")
    _set(request, settings)
    return request


def _set(request: Request, settings: Mapping[str, Any]) -> None:
    """Sets the fields of all settings but the adapters, which are uploaded first."""
    if unknown := settings.keys() - {setting.name for setting in SETTINGS}:
        raise TypeError(f"unknown settings: {', '.join(sorted(unknown))}")
    job, method = request.job, type(request).__name__.removesuffix("Request")
    if isinstance(guidance := settings.get("guidance"), Mapping):
        for name, value in guidance.items():
            _put(job, f"sampling.guidance.{name}", value)
        settings = {**settings, "guidance": None}
    for setting in SETTINGS:
        value = settings.get(setting.name)
        if value is None or setting.kind is None:
            continue
        if setting.method not in ("", method):
            raise errors.InvalidRequest(
                f"{setting.name} is a setting of {setting.method} only; leave it out", field=setting.path
            )
        if isinstance(setting.kind, Mapping):
            value = _number(value, setting.kind, setting.path)
        _put(request if setting.path == "margin" else job, setting.path, value)
    if settings.get("candidates") == 0:
        raise errors.InvalidRequest("must be 1 or more, or left out", field="candidates")
    job.output.views.extend(_number(view, VIEWS, "output.views") for view in settings.get("views") or ())
    captions, spacing = settings.get("captions") or (), settings.get("spacing")
    if settings.get("collage") or captions or spacing is not None:
        job.output.collage.SetInParent()
        job.output.collage.captions.extend(captions)
        if spacing is not None:
            for field, value in zip(("spacing_horizontal", "spacing_vertical"), spacing, strict=True):
                _put(job, f"output.collage.{field}", value)
    if settings.get("time_limit") is not None:
        job.time_limit.CopyFrom(duration(settings["time_limit"]))
    job.request_id = settings.get("request_id") or str(uuid.uuid4())


def _put(message: Any, path: str, value: Any) -> None:
    """Sets the field at a path, which may end in a key of a map."""
    *groups, name = path.split(".")
    for group in groups:
        message = getattr(message, group)
    if groups[-1:] == ["guidance"]:
        try:
            message[name] = value
        except TypeError as error:
            raise errors.InvalidRequest(f"{path} cannot be {value!r}: {error}", field=path) from None
    else:
        put(message, name, value, path)


def _number(word: str, words: Mapping[str, int], field: str) -> int:
    if word not in words:
        raise errors.InvalidRequest(f"unknown {field} {word!r}; one of: {', '.join(words)}", field=field)
    return words[word]


def duration(limit: float | timedelta) -> Duration:
    """A time limit as a message."""
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else float(limit)
    if not 0 < seconds < 1e9:
        raise errors.InvalidRequest(
            f"time_limit must be a positive number of seconds, not {limit!r}", field="time_limit"
        )
    length = Duration()
    length.FromNanoseconds(round(seconds * 1e9))
    return length

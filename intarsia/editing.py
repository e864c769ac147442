"""Requests to edit, to fill and to remove, from keyword arguments to messages. What is left out, the server
chooses."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeAlias

from intarsia import errors
from intarsia.job_settings import number_of, set_job_settings
from intarsia.region import put
from intarsia.settings import SETTINGS, VIEWS, JobSettings
from intarsia.v1.editing_pb2 import EditRegionRequest, FillRegionRequest, RemoveRegionRequest

PictureRequest: TypeAlias = EditRegionRequest | FillRegionRequest | RemoveRegionRequest


def edit_region_request(
    instruction: str, negative_instruction: str = "", **settings: Any
) -> EditRegionRequest:
    """The request without its picture, region and adapters."""
    request = EditRegionRequest()
    put(request, "instruction", instruction, "instruction")
    put(request, "negative_instruction", negative_instruction, "negative_instruction")
    _set(request, settings)
    return request


def fill_region_request(prompt: str = "", negative_prompt: str = "", **settings: Any) -> FillRegionRequest:
    """The request without its picture, region and adapters."""
    request = FillRegionRequest()
    put(request, "prompt", prompt, "prompt")
    put(request, "negative_prompt", negative_prompt, "negative_prompt")
    _set(request, settings)
    return request


def remove_region_request(**settings: Any) -> RemoveRegionRequest:
    """The request without its picture, region and adapters."""
    request = RemoveRegionRequest()
    _set(request, settings)
    return request


def _set(request: PictureRequest, settings: Mapping[str, Any]) -> None:
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
        if value is None or setting.kind is None or setting.name in JobSettings.__annotations__:
            continue
        if setting.method not in ("", method):
            raise errors.InvalidRequest(
                f"{setting.name} is a setting of {setting.method} only; leave it out", field=setting.path
            )
        if isinstance(setting.kind, Mapping):
            value = number_of(value, setting.kind, setting.path)
        _put(request if setting.path == "margin" else job, setting.path, value)
    if settings.get("candidates") == 0:
        raise errors.InvalidRequest("must be 1 or more, or left out", field="candidates")
    job.output.views.extend(number_of(view, VIEWS, "output.views") for view in settings.get("views") or ())
    captions, spacing = settings.get("captions") or (), settings.get("spacing")
    if settings.get("collage") or captions or spacing is not None:
        job.output.collage.SetInParent()
        job.output.collage.captions.extend(captions)
        if spacing is not None:
            for field, value in zip(("spacing_horizontal", "spacing_vertical"), spacing, strict=True):
                _put(job, f"output.collage.{field}", value)
    set_job_settings(job, **{name: settings[name] for name in JobSettings.__annotations__.keys() & settings})


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

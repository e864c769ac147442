"""Output of the commands: sentences for people, or JSON lines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

from intarsia import errors
from intarsia.files import ResultFile
from intarsia.settings import SETTINGS

# The option of every field of a request; the longest prefix counts.
FIELD_OPTIONS = {
    **{setting.path: setting.option for setting in SETTINGS},
    "output.collage.spacing_horizontal": "--spacing",
    "output.collage.spacing_vertical": "--spacing",
    "picture": "PICTURE",
    "clip": "CLIP",
    "frame": "--at",
    "frames": "--frames",
    "overlay": "--save-overlay",
    "sightings": "the region",
    "region": "the region",
    "region.clicks": "--click",
    "region.box": "--box or --rectangle",
    "region.polygon": "--polygon",
    "region.mask": "--mask",
    "region.mask.polarity": "--inside",
    "region.mask.threshold": "--mask-threshold",
    "region.mask.fit": "--fit-mask",
    "region.words": "--words",
    "region.words.threshold": "--threshold",
    "region.words.not_phrases": "--not-words",
    "region.words.not_at": "--not-at",
    "region.combination": "--plus, --minus or --within",
    "region.corrections": "--correct or --correct-not",
    "region.choice": "--choose",
    "region.units": "--relative",
    "region.shaping.fill_holes": "--fill-holes",
    "region.shaping.grow": "--grow",
    "region.shaping.shrink": "--shrink",
    "region.shaping.invert": "--invert",
    "region.shaping.feather": "--feather",
    "instruction": "--instruction",
    "negative_instruction": "--negative-instruction",
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "further_edits": "--then",
    "sampling.guidance": "--guidance or --picture-guidance",
    "adapter": "ADAPTER",
    "model": "--model",
    "name": "JOB",
    "pictures": "--pictures",
    "masks": "--masks",
    "out": "--out",
    "by": "--pair",
    "at_once": "--at-once",
    "token": "--tls and INTARSIA_TOKEN",
    "server": "--server",
    "page_size": "--limit",
    "states": "--state",
    "methods": "--method",
}

# Fields of further edits, of sightings and of combined regions are set by the options of the first.
_EDIT, _SIGHTING = re.compile(r"^further_edits\[(\d+)\]\."), re.compile(r"^sightings\[(\d+)\]\.")
_REGION = re.compile(r"\.combination\.terms\[(\d+)\]\.region\b")


def as_json(value: Any) -> Any:
    """A result, or a part of one, in the types of JSON.

    Files are their names, durations are seconds, times are ISO 8601. Seeds are strings, since they are too
    large for the numbers of many readers.
    """
    if isinstance(value, ResultFile):
        return value.name
    if isinstance(value, errors.IntarsiaError):
        return _facts(value)
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, timedelta):
        return value.total_seconds()
    if isinstance(value, datetime):
        return value.isoformat(timespec="milliseconds")
    if isinstance(value, Mapping):
        return {key: as_json(each) for key, each in value.items()}
    if isinstance(value, tuple):
        return [as_json(each) for each in value]
    if is_dataclass(value):
        items = {each.name: as_json(getattr(value, each.name)) for each in fields(value)}
        return {name: str(each) if name == "seed" else each for name, each in items.items()}
    return value


class Console:
    """Prints results and errors as sentences or, if `json`, as one JSON object per line."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def result(self, kind: str, facts: Any, sentence: str) -> None:
        """Prints a result: the facts (a dataclass or a dict) as JSON, or the sentence if it is not empty."""
        if self.json:
            _print_json({kind: as_json(facts)})
        elif sentence:
            print(sentence, flush=True)

    def warning(self, sentence: str) -> None:
        """Prints a problem that does not end the command."""
        if self.json:
            _print_json({"warning": {"message": sentence}})
        else:
            print(f"intarsia: {sentence}", file=sys.stderr)

    def error(self, error: Exception) -> None:
        """Prints the error that ends a command."""
        if self.json:
            _print_json({"error": _facts(error)})
        else:
            print(f"intarsia: {_sentence(error)}", file=sys.stderr)


def option_of(field: str) -> str:
    """The option that sets a field of a request; empty if there is none."""
    field = _REGION.sub("", _SIGHTING.sub("", _EDIT.sub("", field)))
    fits = [
        prefix
        for prefix in FIELD_OPTIONS
        if field == prefix or field.startswith((f"{prefix}.", f"{prefix}["))
    ]
    return FIELD_OPTIONS[max(fits, key=len)] if fits else ""


def _print_json(fields: Mapping[str, Any]) -> None:
    print(json.dumps(fields, ensure_ascii=False), flush=True)


def _sentence(error: Exception) -> str:
    field = getattr(error, "field", "")
    named = f"{option_of(field)}{_which(field)}" if option_of(field) else field
    return f"{named}: {error}" if named else str(error)


def _which(field: str) -> str:
    """The edit and the region that a field belongs to, counted from 1 in the order of the options."""
    edits = [f"edit {int(n) + 2}" for n in _EDIT.findall(field)]
    sightings = [f"sighting {int(n) + 1}" for n in _SIGHTING.findall(field)]
    regions = [f"region {int(n) + 1}" for n in _REGION.findall(field)]
    which = edits + sightings + regions
    return f" ({', '.join(which)})" if which else ""


def _facts(error: Exception) -> dict[str, Any]:
    if isinstance(error, errors.IntarsiaError):
        facts: dict[str, Any] = {"reason": error.reason, "message": error.message}
        if field := getattr(error, "field", ""):
            facts |= {"field": field, "option": option_of(field)}
        return {**facts, "facts": dict(error.facts)}
    reason = "IO" if isinstance(error, OSError) else "USAGE"
    return {"reason": reason, "message": str(error), "facts": {}}

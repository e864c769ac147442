"""Output of the commands: sentences for people, or JSON lines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from intarsia import errors
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
    "then": "--then",
    "adapter": "ADAPTER",
    "model": "--model",
    "pictures": "--pictures",
    "masks": "--masks",
    "out": "--out",
    "by": "--pair",
    "at_once": "--at-once",
    "token": "--tls and INTARSIA_TOKEN",
    "page_size": "--limit",
    "states": "--state",
}

# Fields of further edits, of sightings and of combined regions are set by the options of the first.
_EDIT, _SIGHTING = re.compile(r"^then\[(\d+)\]\."), re.compile(r"^sightings\[(\d+)\]\.")
_REGION = re.compile(r"\.combination\.terms\[(\d+)\]\.region\b")


def as_dict(message: Message) -> dict[str, Any]:
    """A message in proto3 JSON (64-bit numbers are strings), with the proto's own field names."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


class Console:
    """Prints results and errors as sentences or, if `json`, as one JSON object per line."""

    def __init__(self, *, json: bool) -> None:
        self.json = json

    def result(self, kind: str, facts: Message | Mapping[str, Any], sentence: str) -> None:
        """Prints a result: the facts as JSON, or the sentence (nothing if it is empty)."""
        if self.json:
            _print_json({kind: as_dict(facts) if isinstance(facts, Message) else facts})
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
    """Which of several edits and regions the field belongs to, counted from 1 in the order of the options."""
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

"""What is said, to people or to machines."""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Mapping
from typing import Any

from google.protobuf.json_format import MessageToDict
from google.protobuf.message import Message

from intarsia import errors

# Where a field of a request comes from; the longest prefix counts.
FIELD_OPTIONS = {
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
    "sampling.seed": "--seed",
    "sampling.steps": "--steps",
    "sampling.guidance": "--guidance",
    "sampling.picture_guidance": "--picture-guidance",
    "sampling.scheduler": "--scheduler",
    "cut.context": "--context",
    "cut.working_size": "--working-size",
    "output.format": "--format",
    "output.quality": "--quality",
    "prompt": "--prompt",
    "negative_prompt": "--negative-prompt",
    "candidates": "--candidates",
    "adapters": "--adapter",
    "adapter": "ADAPTER",
    "model": "--model",
    "margin": "--margin",
    "cut.layout": "--layout",
    "cut.overlap": "--overlap",
    "output.views": "--view",
    "output.collage": "--collage",
    "output.collage.captions": "--captions",
    "output.collage.spacing_horizontal": "--spacing",
    "output.collage.spacing_vertical": "--spacing",
    "then": "--then",
    "preview_every": "--preview-every",
    "time_limit": "--time-limit",
    "request_id": "--request-id",
    "pictures": "--pictures",
    "masks": "--masks",
    "out": "--out",
    "by": "--pair",
    "at_once": "--at-once",
    "token": "--tls and INTARSIA_TOKEN",
    "page_size": "--limit",
    "states": "--state",
}

# Where one option is said for several: further edits, sightings in a clip, regions of a combination.
_EDIT, _SIGHTING = re.compile(r"^then\[(\d+)\]\."), re.compile(r"^sightings\[(\d+)\]\.")
_REGION = re.compile(r"\.combination\.terms\[(\d+)\]\.region\b")


def as_dict(message: Message) -> dict[str, Any]:
    """A message in proto3 JSON (64-bit numbers are strings), with the proto's own field names."""
    return MessageToDict(message, preserving_proto_field_name=True, always_print_fields_with_no_presence=True)


class Voice:
    """Speaks in sentences, or in JSON lines if a machine listens."""

    def __init__(self, *, machine: bool) -> None:
        self.machine = machine

    def tell(self, kind: str, facts: Message | Mapping[str, Any], sentence: str) -> None:
        """A result: the facts for machines, the sentence for people (nothing if it is empty)."""
        if self.machine:
            body = as_dict(facts) if isinstance(facts, Message) else facts
            print(json.dumps({kind: body}, ensure_ascii=False), flush=True)
        elif sentence:
            print(sentence, flush=True)

    def warn(self, sentence: str) -> None:
        """What went wrong without ending the command."""
        if self.machine:
            print(json.dumps({"warning": {"message": sentence}}, ensure_ascii=False), flush=True)
        else:
            print(f"intarsia: {sentence}", file=sys.stderr)

    def complain(self, error: Exception) -> None:
        """The reason why a command ends without success."""
        if self.machine:
            print(json.dumps({"error": _facts(error)}, ensure_ascii=False), flush=True)
        else:
            print(f"intarsia: {_sentence(error)}", file=sys.stderr)


def option_of(field: str) -> str:
    """The option that a field of a request was read from; empty if there is none."""
    field = _REGION.sub("", _SIGHTING.sub("", _EDIT.sub("", field)))
    fits = [
        prefix
        for prefix in FIELD_OPTIONS
        if field == prefix or field.startswith((f"{prefix}.", f"{prefix}["))
    ]
    return FIELD_OPTIONS[max(fits, key=len)] if fits else ""


def _sentence(error: Exception) -> str:
    field = getattr(error, "field", "")
    named = f"{option_of(field)}{_which(field)}" if option_of(field) else field
    return f"{named}: {error}" if named else str(error)


def _which(field: str) -> str:
    """Which of several edits and regions the field belongs to, counted from 1 as they are said."""
    edits = [f"edit {int(n) + 2}" for n in _EDIT.findall(field)]
    seen = [f"sighting {int(n) + 1}" for n in _SIGHTING.findall(field)]
    regions = [f"region {int(n) + 1}" for n in _REGION.findall(field)]
    which = edits + seen + regions
    return f" ({', '.join(which)})" if which else ""


def _facts(error: Exception) -> dict[str, Any]:
    if isinstance(error, errors.IntarsiaError):
        facts: dict[str, Any] = {"reason": error.reason, "message": error.message}
        if field := getattr(error, "field", ""):
            facts |= {"field": field, "option": option_of(field)}
        return {**facts, "facts": dict(error.facts)}
    reason = "IO" if isinstance(error, OSError) else "USAGE"
    return {"reason": reason, "message": str(error), "facts": {}}

"""Reads the tensor `cost`, which `ask` = "cost" comes with: a job whose cost on this model is wanted.

The input `cost` is a JSON object:

    {"sheets": [[height, width], ...],     in latents, at most 4096 of them
     "steps": 20, "scheduler": "ddim",     absent: the bundle's own
     "guidance": {"guidance": 7.5, ...},   by the names in the facts; those absent: the bundle's own
     "equal_prompts": false,               true if prompt and negative prompt are the same; absent: false
     "candidates": 1}                      absent: 1

The output `facts` is {"evaluations": branches evaluated at each step of a sheet, "seconds": of all sheets and
candidates, if no other request shares the network}.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from torch import Tensor

from services import json_text
from services.refusal import invalid
from services.unet.request import (
    LARGEST_GUIDANCE,
    LARGEST_SIDE,
    Defaults,
    NetworkLimits,
    checked_scheduler,
    default_steps,
    required,
)

_FIELDS = {"sheets", "steps", "scheduler", "guidance", "equal_prompts", "candidates"}
_MOST = 4096  # sheets, and candidates


@dataclass(frozen=True)
class CostQuestion:
    """A job whose cost is wanted; every value is set."""

    sheets: tuple[tuple[int, int], ...]  # (height, width) in latents
    steps: int
    scheduler: str
    guidance: tuple[float, ...]
    equal_prompts: bool
    candidates: int


def read_cost_question(
    tensors: Mapping[str, Tensor], limits: NetworkLimits, defaults: Defaults
) -> CostQuestion:
    """Reads the tensor `cost`; raises Refusal naming what is wrong in it."""
    values = json_text.from_tensor("cost", required("cost", tensors))
    if not isinstance(values, dict) or not {"sheets"} <= values.keys() <= _FIELDS:
        raise invalid("cost", f'must be a JSON object with "sheets" and of {", ".join(sorted(_FIELDS))}')
    scheduler = checked_scheduler("cost.scheduler", values.get("scheduler", defaults.scheduler), limits)
    equal = values.get("equal_prompts", False)
    if not isinstance(equal, bool):
        raise invalid("cost.equal_prompts", "must be true or false")
    return CostQuestion(
        sheets=_sheets(values["sheets"]),
        steps=_whole(
            "cost.steps",
            values.get("steps", default_steps(scheduler, limits, defaults)),
            limits.steps[scheduler],
        ),
        scheduler=scheduler,
        guidance=_guidance(values.get("guidance", {}), defaults),
        equal_prompts=equal,
        candidates=_whole("cost.candidates", values.get("candidates", 1), _MOST),
    )


def _sheets(value: Any) -> tuple[tuple[int, int], ...]:
    if not isinstance(value, list) or not 1 <= len(value) <= _MOST:
        raise invalid("cost.sheets", f"must be a list of 1 to {_MOST} pairs [height, width]")
    sheets = []
    for index, sheet in enumerate(value):
        if not isinstance(sheet, list) or len(sheet) != 2:
            raise invalid(f"cost.sheets[{index}]", "must be a pair [height, width]")
        height, width = (_whole(f"cost.sheets[{index}]", side, LARGEST_SIDE) for side in sheet)
        sheets.append((height, width))
    return tuple(sheets)


def _guidance(value: Any, defaults: Defaults) -> tuple[float, ...]:
    if not isinstance(value, dict) or not value.keys() <= defaults.guidance.keys():
        raise invalid("cost.guidance", f"must be a JSON object of {', '.join(defaults.guidance)}")
    numbers = {**defaults.guidance, **value}
    for name, number in numbers.items():
        real = isinstance(number, (int, float)) and not isinstance(number, bool)
        if not real or not 0.0 <= number <= LARGEST_GUIDANCE:  # false for NaN, too
            raise invalid(f"cost.guidance.{name}", f"must be a number in [0, {LARGEST_GUIDANCE:g}]")
    return tuple(float(number) for number in numbers.values())


def _whole(name: str, value: Any, most: int) -> int:
    if not isinstance(value, int) or isinstance(value, bool) or not 1 <= value <= most:
        raise invalid(name, f"must be a whole number in [1, {most}]")
    return value

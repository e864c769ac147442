"""Figures of edits: is the colour right, the thing gone, the shape the one asked for, the rest untouched?"""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
import torch
from PIL import Image

from training.recipes.figure import Row, tally
from training.world.address import Address
from training.world.edit import KINDS, Edit, an_edit, some_versions
from training.world.hue import apart, hue_of, nearest
from training.world.scene import Picture
from training.world.thing import Thing

STEPS, TEXT_GUIDANCE, SOURCE_GUIDANCE = 10, 2.0, 1.2
_AT_ONCE = 12


@dataclass(frozen=True)
class Question:
    """An edit to be made, and what is true after it."""

    edit: Edit
    thing: Thing | None
    source: Picture
    target: Picture

    @property
    def before(self) -> np.ndarray:
        return self.source.masks[-1] > 0.5

    @property
    def after(self) -> np.ndarray:
        return self.target.masks[-1] > 0.5 if self.thing else np.zeros_like(self.before)

    @property
    def around(self) -> np.ndarray:
        """What may change: the thing before and after, and a little beyond, for borders are soft."""
        touched = (self.before | self.after).astype(np.uint8)
        return cv2.dilate(touched, np.ones((9, 9), np.uint8)) > 0


def questions(split: str, count: int) -> list[Question]:
    """Edits of all kinds in turn."""
    asked = []
    for index in range(count):
        address = Address(split, "edits", index)
        versions = some_versions(address)
        edit = an_edit(address.dice("question"), versions.things, KINDS[index % len(KINDS)])
        pictures = versions.pictures()
        asked.append(
            Question(edit, versions.things[edit.target], pictures[edit.source], pictures[edit.target])
        )
    return asked


@torch.no_grad()
def edited(pipeline, asked: list[Question], **settings) -> list[np.ndarray]:
    """What a pipeline makes of the questions: float32 (height, width, 3) in [0, 1]."""
    settings = {
        "num_inference_steps": STEPS,
        "guidance_scale": TEXT_GUIDANCE,
        "image_guidance_scale": SOURCE_GUIDANCE,
        **settings,
    }
    results: list[np.ndarray] = []
    for first in range(0, len(asked), _AT_ONCE):
        some = asked[first : first + _AT_ONCE]
        made = pipeline(
            [question.edit.instruction for question in some],
            image=[Image.fromarray(question.source.pixels) for question in some],
            generator=torch.Generator().manual_seed(first),
            output_type="np",
            **settings,
        )
        results += list(made.images)
    return results


def edit_figures(pipeline, split: str, count: int, **settings) -> dict[str, float]:
    """Means over `count` edits, a quarter of each kind."""
    asked = questions(split, count)
    made = edited(pipeline, asked, **settings)
    return tally([figures_of(question, one) for question, one in zip(asked, made, strict=True)])


def figures_of(question: Question, made: np.ndarray) -> Row:
    """What can be said about one edit, by name; `made` is (height, width, 3) in [0, 1]."""
    source, target = question.source.pixels / 255.0, question.target.pixels / 255.0
    around = question.around
    squared = np.square(made - source)[~around].mean()
    figures = {"background dB": float(-10 * np.log10(squared + 1e-9))}
    if question.edit.kind == "remove":
        changed = np.abs(target - source).max(2) > 0.12
        nearer = np.abs(made - target).sum(2) < np.abs(made - source).sum(2)
        return {**figures, "remove nearer": float(nearer[changed].mean())}
    off, saturation = _hue_off(question, made)
    if question.edit.kind == "recolour":
        named = nearest((question.thing.hue + off) % 360) == question.thing.colour
        figures["recolour right"] = float(named and saturation > 0.35)
        figures["recolour within 15"] = float(abs(off) < 15 and saturation > 0.35)
        return figures
    idle = (question.before & question.after).sum() / (question.before | question.after).sum()
    kind = question.edit.kind
    return {**figures, f"{kind} IoU": _shape_iou(question, made, around), f"{kind} idle IoU": float(idle)}


def _hue_off(question: Question, made: np.ndarray) -> tuple[float, float]:
    """Degrees, signed, between the mean colour well inside the new thing and the one asked for."""
    inside = cv2.erode(question.after.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    hue, saturation = hue_of(made[inside if inside.any() else question.after].mean(0))
    return (hue - question.thing.hue + 180) % 360 - 180, saturation


def _shape_iou(question: Question, made: np.ndarray, around: np.ndarray) -> float:
    """IoU of what has the new thing's hue, near where it should be, with its visible mask."""
    tones = cv2.cvtColor(made.astype(np.float32), cv2.COLOR_RGB2HSV)
    found = (apart(tones[..., 0], question.thing.hue) < 25) & (tones[..., 1] > 0.4) & around
    return float((found & question.after).sum() / max(1, (found | question.after).sum()))

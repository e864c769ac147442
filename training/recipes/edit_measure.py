"""Figures of edits: right colour, removed thing, right shape, unchanged background."""

from __future__ import annotations

import itertools
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass, replace

import cv2
import numpy as np
import torch
from PIL import Image

from canvas.patch import restore
from training.recipes.figure import Row, tally
from training.world.address import Address
from training.world.edit import KINDS, SceneEdit, an_edit, some_versions
from training.world.hue import apart, hue_of, nearest
from training.world.photo import RADII, Photo, a_photo
from training.world.scene import DrawnScene
from training.world.thing import Thing

STEPS, TEXT_GUIDANCE, SOURCE_GUIDANCE = 10, 2.0, 1.2
_BATCH = 12


@dataclass(frozen=True)
class EditCase:
    """An edit, with its source and target pictures, in which the edited thing has a `place` among the others.

    Pixels up to `margin` from the thing, before and after, may change.
    """

    edit: SceneEdit
    thing: Thing | None
    source: DrawnScene
    target: DrawnScene
    place: int = -1
    margin: int = 4

    @property
    def before(self) -> np.ndarray:
        return self.source.masks[self.place] > 0.5

    @property
    def after(self) -> np.ndarray:
        return self.target.masks[self.place] > 0.5 if self.thing else np.zeros_like(self.before)

    @property
    def around(self) -> np.ndarray:
        """The pixels that may change: the thing before and after, and a margin for soft borders."""
        touched = (self.before | self.after).astype(np.uint8)
        size = 2 * self.margin + 1
        return cv2.dilate(touched, np.ones((size, size), np.uint8)) > 0


def edit_cases(split: str, count: int) -> list[EditCase]:
    """Edits of all kinds in turn."""
    cases = []
    for index in range(count):
        address = Address(split, "edits", index)
        versions = some_versions(address)
        edit = an_edit(address.rng("question"), versions.things, KINDS[index % len(KINDS)])
        pictures = versions.pictures()
        cases.append(
            EditCase(edit, versions.things[edit.target], pictures[edit.source], pictures[edit.target])
        )
    return cases


@dataclass(frozen=True)
class PhotoKind:
    """Photos that are measured together: their size (height, width), if all have the same, and the radii of
    the things in them."""

    stream: str = "photos"
    size: tuple[int, int] | None = None
    radii: tuple[float, float] = RADII
    kinds: tuple[str, ...] = KINDS

    def cases(self, split: str, count: int) -> Iterator[tuple[Photo, EditCase]]:
        """`count` edits, of all kinds in turn, about the crops of their photos."""
        made = 0
        for index in itertools.count():
            if made == count:
                return
            address = Address(split, self.stream, index)
            kind = self.kinds[made % len(self.kinds)]
            photo = a_photo(address, size=self.size, radii=self.radii)
            edit = an_edit(address.rng("question"), photo.versions.things, kind)
            if edit.kind == kind:
                made += 1
                yield photo, _photo_case(photo, edit)


def _photo_case(photo: Photo, edit: SceneEdit) -> EditCase:
    versions, pictures = photo.versions, photo.pictures()
    return EditCase(
        edit,
        versions.within(photo.crop).things[edit.target],
        pictures[edit.source],
        pictures[edit.target],
        place=len(versions.others),
        margin=max(2, round(4 * photo.crop.width / photo.working.scaled.width)),
    )


@torch.no_grad()
def run_edits(pipeline, cases: list[EditCase], **settings) -> list[np.ndarray]:
    """The edited pictures of a pipeline: float32 (height, width, 3) in [0, 1]."""
    settings = {
        "num_inference_steps": STEPS,
        "guidance_scale": TEXT_GUIDANCE,
        "image_guidance_scale": SOURCE_GUIDANCE,
        **settings,
    }
    results: list[np.ndarray] = []
    for first in range(0, len(cases), _BATCH):
        batch = cases[first : first + _BATCH]
        result = pipeline(
            [case.edit.instruction for case in batch],
            image=[Image.fromarray(case.source.pixels) for case in batch],
            generator=torch.Generator().manual_seed(first),
            output_type="np",
            **settings,
        )
        results += list(result.images)
    return results


def photo_figures(pipeline, split: str, count: int, **settings) -> dict[str, float]:
    """Means over edits of `count` photos: the pipeline redraws the sheets, their regions laid back, with room
    for what the thing becomes."""
    rows, alike = [], defaultdict(list)
    for photo, case in PhotoKind().cases(split, count):
        alike[photo.working.width, photo.working.height].append((photo, case))
    for photos in alike.values():
        sheets = [photo.sheet(case.source).transpose(1, 2, 0) for photo, case in photos]
        asked = [
            replace(case, source=replace(case.source, pixels=np.ascontiguousarray(sheet)))
            for (_, case), sheet in zip(photos, sheets, strict=True)
        ]
        for (photo, case), made in zip(photos, run_edits(pipeline, asked, **settings), strict=True):
            patch = (made * 255).round().astype(np.uint8).transpose(2, 0, 1)
            result, region = case.source.pixels.copy(), case.around
            region[photo.region.within(photo.crop).window] = True
            result[region] = restore(patch, photo.crop, photo.working)[region]
            rows.append(figures_of(case, result / 255))
    return {f"photo {name}": value for name, value in tally(rows).items()}


def edit_figures(pipeline, split: str, count: int, **settings) -> dict[str, float]:
    """Means over `count` edits, a quarter of each kind."""
    cases = edit_cases(split, count)
    result = run_edits(pipeline, cases, **settings)
    return tally([figures_of(case, one) for case, one in zip(cases, result, strict=True)])


def figures_of(case: EditCase, result: np.ndarray) -> Row:
    """The measurements of one edit, by name; `result` is (height, width, 3) in [0, 1]."""
    source, target = case.source.pixels / 255.0, case.target.pixels / 255.0
    around = case.around
    squared = np.square(result - source)[~around].mean()
    figures = {"background dB": float(-10 * np.log10(squared + 1e-9))}
    if case.edit.kind == "remove":
        changed = np.abs(target - source).max(2) > 0.12
        nearer = np.abs(result - target).sum(2) < np.abs(result - source).sum(2)
        figures["remove nearer"] = float(nearer[changed].mean())
        return {**figures, "remove rim": _rim(case, np.abs(result - target))}
    off, saturation = _hue_off(case, result)
    if case.edit.kind == "recolour":
        named = nearest((case.thing.hue + off) % 360) == case.thing.colour
        figures["recolour right"] = float(named and saturation > 0.35)
        figures["recolour within 15"] = float(abs(off) < 15 and saturation > 0.35)
        return figures
    idle = (case.before & case.after).sum() / (case.before | case.after).sum()
    kind = case.edit.kind
    return {**figures, f"{kind} IoU": _shape_iou(case, result, around), f"{kind} idle IoU": float(idle)}


def _rim(case: EditCase, error: np.ndarray) -> float:
    """How much further a band around the outline of the removed thing is from the truth than what lies
    within, in [0, 1]: an outline that is left shows there."""
    size = 2 * case.margin + 1
    within = cv2.erode(case.before.astype(np.uint8), np.ones((size, size), np.uint8)) > 0
    band = case.around & ~within
    return float(error[band].mean() - error[within if within.any() else case.before].mean())


def _hue_off(case: EditCase, result: np.ndarray) -> tuple[float, float]:
    """Degrees, signed, between the mean colour well inside the new thing and the requested one."""
    inside = cv2.erode(case.after.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    hue, saturation = hue_of(result[inside if inside.any() else case.after].mean(0))
    return (hue - case.thing.hue + 180) % 360 - 180, saturation


def _shape_iou(case: EditCase, result: np.ndarray, around: np.ndarray) -> float:
    """IoU of the pixels with the new thing's hue, near its place, with its visible mask."""
    tones = cv2.cvtColor(result.astype(np.float32), cv2.COLOR_RGB2HSV)
    found = (apart(tones[..., 0], case.thing.hue) < 25) & (tones[..., 1] > 0.4) & around
    return float((found & case.after).sum() / max(1, (found | case.after).sum()))

"""The figures of the bundle `sam`, measured through the stock video predictor."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
import torch
from safetensors.torch import load_file
from sam2.modeling.sam2_base import SAM2Base
from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

from training.recipes import sam_config
from training.recipes.figure import Figure
from training.recipes.sam_loss import iou
from training.recipes.sam_measure import click_figures
from training.recipes.sam_prompt import deepest_point
from training.recipes.sam_samples import SMALLEST
from training.recipes.text_measure import text_figures
from training.world.address import Address
from training.world.clip import Film, a_clip, film


def load(folder: Path, *, video: bool = False) -> SAM2Base:
    """Stock classes from the bundle's yaml, its weights in float32, strictly by name."""
    sam = sam_config.build(sam_config.read(folder / "config.yaml"), video=video)
    state = load_file(folder / "model.safetensors")
    sam.load_state_dict({name: tensor.float() for name, tensor in state.items()}, strict=True)
    return sam.eval()


def measure(folder: Path, split: str, count: int) -> list[Figure]:
    """`count` scenes, `count` stories of 24 frames, and drifts of 8 frames with about as many things."""
    values = click_figures(load(folder), split, count)
    predictor = load(folder, video=True)
    drift = [js for index in range(count * 2 // 5) for js in track_ious(predictor, split, "drift", index)]
    hidden = [js for index in range(0, count, 2) for js in track_ious(predictor, split, "hide", index)]
    left = [js for index in range(1, count, 2) for js in track_ious(predictor, split, "leave", index)]
    fall = np.mean([js[0] - js[-1] for js in drift])
    phrases = text(folder / "text_head", split, count) if (folder / "text_head").is_dir() else []
    return [
        Figure("click IoU, deepest interior point", values["click deepest"], 0.91, 0.94),
        Figure("click IoU, random interior point", values["click random"], 0.88, 0.92),
        Figure("box IoU", values["box"], 0.88, 0.92),
        *tracking({"track 8": _mean(drift), "track 24": _mean(hidden + left)}),
        Figure("tracking J, 24 frames, occlusion", _mean(hidden)),
        Figure("tracking J, 24 frames, leaving and returning", _mean(left)),
        Figure("tracking J, fall from frame 1 to frame 7", float(fall)),
        *phrases,
    ]


def text(folder: Path, split: str, count: int) -> list[Figure]:
    """Two phrases about each of `count` scenes."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    return words(text_figures(model, CLIPTokenizer.from_pretrained(folder), split, count))


def words(values: Mapping[str, float]) -> list[Figure]:
    """The figures of finding by words, with their minimums and goals."""
    return [
        Figure("words: IoU over present phrases", values["present IoU"], 0.82, 0.90),
        Figure("words: absent phrase stays empty", values["absent empty"], 0.88, 0.96, "%"),
        Figure("words: IoU when another phrase is said", values["swapped IoU"], 0.25, 0.15, least=True),
    ]


def tracking(values: Mapping[str, float]) -> list[Figure]:
    """The figures of tracking, with their minimums and goals."""
    return [
        Figure("tracking J, 8 frames", values["track 8"], 0.87, 0.92),
        Figure("tracking J, 24 frames, occlusion or return", values["track 24"], 0.75, 0.85),
    ]


@dataclass(frozen=True)
class TrackingCase:
    """A clip, and the things in it that are tracked: all of a drift, the hero of a story."""

    film: Film
    things: tuple[int, ...]

    def overlaps(self, thing: int, masks: torch.Tensor) -> list[float]:
        """J of a thing's masks, bool (frames, height, width), in every frame after the first."""
        return iou(masks, torch.from_numpy(self.film.masks[:, thing]))[1:].tolist()

    def point(self, thing: int) -> np.ndarray:
        """The click on the thing in the first frame: x, y."""
        return deepest_point(self.film.masks[0, thing]).astype(np.float32)


def tracking_case(split: str, plot: str, index: int) -> TrackingCase:
    """One of the clips that tracking is measured on; things too hidden to be clicked on are left out."""
    drift = plot == "drift"
    stream = "sam drift" if drift else "sam story"
    case = film(a_clip(Address(split, stream, index), frames=8 if drift else 24, plot=plot))
    visible = np.flatnonzero(case.masks[0].sum((1, 2)) > SMALLEST)
    return TrackingCase(case, tuple(int(thing) for thing in visible if drift or thing == 0))


@torch.inference_mode()
def track_ious(predictor, split: str, plot: str, index: int) -> list[list[float]]:
    """J per frame after the first, of every thing that is tracked."""
    case = tracking_case(split, plot, index)
    if not case.things:
        return []
    masks = tracked_masks(predictor, case)
    return [case.overlaps(thing, masks[thing]) for thing in case.things]


def tracked_masks(predictor, case: TrackingCase) -> dict[int, torch.Tensor]:
    """Masks bool (frames, height, width) of things clicked on in frame 0, through JPEG files."""
    pictures, truth = case.film.pixels, case.film.masks
    with tempfile.TemporaryDirectory() as folder:
        for frame, pixels in enumerate(pictures):
            name = str(Path(folder) / f"{frame:05d}.jpg")
            cv2.imwrite(name, pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])
        state = predictor.init_state(folder)
    for thing in case.things:
        point = case.point(thing)[None]
        predictor.add_new_points_or_box(state, 0, thing, points=point, labels=np.array([1], np.int32))
    masks = {thing: torch.zeros(truth.shape[0], *truth.shape[2:], dtype=torch.bool) for thing in case.things}
    for frame, ids, logits in predictor.propagate_in_video(state):
        for thing, mask in zip(ids, logits[:, 0] > 0, strict=True):
            masks[thing][frame] = mask
    return masks


def _mean(rows: list[list[float]]) -> float:
    return float(np.mean([np.mean(row) for row in rows]))

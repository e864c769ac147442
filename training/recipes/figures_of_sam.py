"""The figures of the bundle that selects and follows, measured through the stock video predictor."""

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
from training.recipes.sam_lesson import SMALLEST
from training.recipes.sam_loss import iou
from training.recipes.sam_measure import click_figures
from training.recipes.sam_prompt import deepest
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
    said = click_figures(load(folder), split, count)
    predictor = load(folder, video=True)
    drift = [js for index in range(count * 2 // 5) for js in tracked(predictor, split, "drift", index)]
    hidden = [js for index in range(0, count, 2) for js in tracked(predictor, split, "hide", index)]
    left = [js for index in range(1, count, 2) for js in tracked(predictor, split, "leave", index)]
    fall = np.mean([js[0] - js[-1] for js in drift])
    named = text(folder / "text_head", split, count) if (folder / "text_head").is_dir() else []
    return [
        Figure("click IoU, deepest interior point", said["click deepest"], 0.91, 0.94),
        Figure("click IoU, random interior point", said["click random"], 0.88, 0.92),
        Figure("box IoU", said["box"], 0.88, 0.92),
        *following({"track 8": _mean(drift), "track 24": _mean(hidden + left)}),
        Figure("tracking J, 24 frames, occlusion", _mean(hidden)),
        Figure("tracking J, 24 frames, leaving and returning", _mean(left)),
        Figure("tracking J, fall from frame 1 to frame 7", float(fall)),
        *named,
    ]


def text(folder: Path, split: str, count: int) -> list[Figure]:
    """Two phrases about each of `count` scenes."""
    model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    return words(text_figures(model, CLIPTokenizer.from_pretrained(folder), split, count))


def words(said: Mapping[str, float]) -> list[Figure]:
    """What finding by words promises."""
    return [
        Figure("words: IoU over present phrases", said["present IoU"], 0.82, 0.90),
        Figure("words: absent phrase stays empty", said["absent empty"], 0.88, 0.96, "%"),
        Figure("words: IoU when another phrase is said", said["swapped IoU"], 0.25, 0.15, least=True),
    ]


def following(said: Mapping[str, float]) -> list[Figure]:
    """What following a thing promises."""
    return [
        Figure("tracking J, 8 frames", said["track 8"], 0.87, 0.92),
        Figure("tracking J, 24 frames, occlusion or return", said["track 24"], 0.75, 0.85),
    ]


@dataclass(frozen=True)
class Walk:
    """A clip, and the things in it that are followed: all of a drift, the hero of a story."""

    film: Film
    things: tuple[int, ...]

    def overlaps(self, thing: int, masks: torch.Tensor) -> list[float]:
        """J of a thing's masks, bool (frames, height, width), in every frame after the first."""
        return iou(masks, torch.from_numpy(self.film.masks[:, thing]))[1:].tolist()

    def point(self, thing: int) -> np.ndarray:
        """Where the thing is clicked on in the first frame: x, y."""
        return deepest(self.film.masks[0, thing]).astype(np.float32)


def walk(split: str, plot: str, index: int) -> Walk:
    """One of the clips that tracking is measured on; things too hidden to be clicked on are left out."""
    drift = plot == "drift"
    stream = "sam drift" if drift else "sam story"
    shown = film(a_clip(Address(split, stream, index), frames=8 if drift else 24, plot=plot))
    asked = np.flatnonzero(shown.masks[0].sum((1, 2)) > SMALLEST)
    return Walk(shown, tuple(int(thing) for thing in asked if drift or thing == 0))


@torch.inference_mode()
def tracked(predictor, split: str, plot: str, index: int) -> list[list[float]]:
    """J per frame after the first, of every thing that is followed."""
    shown = walk(split, plot, index)
    if not shown.things:
        return []
    masks = followed(predictor, shown)
    return [shown.overlaps(thing, masks[thing]) for thing in shown.things]


def followed(predictor, shown: Walk) -> dict[int, torch.Tensor]:
    """Masks bool (frames, height, width) of things clicked on in frame 0, through JPEG files."""
    pictures, truth = shown.film.pixels, shown.film.masks
    with tempfile.TemporaryDirectory() as folder:
        for frame, pixels in enumerate(pictures):
            name = str(Path(folder) / f"{frame:05d}.jpg")
            cv2.imwrite(name, pixels[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 97])
        state = predictor.init_state(folder)
    for thing in shown.things:
        point = shown.point(thing)[None]
        predictor.add_new_points_or_box(state, 0, thing, points=point, labels=np.array([1], np.int32))
    masks = {thing: torch.zeros(truth.shape[0], *truth.shape[2:], dtype=torch.bool) for thing in shown.things}
    for frame, ids, logits in predictor.propagate_in_video(state):
        for thing, mask in zip(ids, logits[:, 0] > 0, strict=True):
            masks[thing][frame] = mask
    return masks


def _mean(rows: list[list[float]]) -> float:
    return float(np.mean([np.mean(row) for row in rows]))

"""Figures of words: does a phrase find what it names, find nothing that is absent, and matter at all?"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

from training.recipes.figure import Row, tally
from training.recipes.sam_sight import as_input
from training.recipes.text_lesson import Asked, ask
from training.recipes.tokenizer import token_ids

EMPTY = 30  # pixels of 128 x 128 below which an answer counts as empty
SMALLEST = 40  # pixels below which a thing is too hidden to be asked for
_PICTURES, _PHRASES = 15, 2


def questions(split: str, count: int) -> Iterator[Asked]:
    """Two phrases about each of `count` scenes, or a few more, some scenes at a time."""
    for step in range(0, 4 * -(-count // _PICTURES), 4):
        yield ask(split, step, _PICTURES, _PHRASES)


def text_figures(
    model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, split: str, count: int
) -> dict[str, float]:
    """Means over the phrases, answered by the stock forward at its stock threshold."""
    rows: list[Row] = []
    for asked in questions(split, count):
        rows += figures_of(asked, answers(model, tokenizer, asked))
    return tally(rows)


def figures_of(asked: Asked, found: np.ndarray) -> list[Row]:
    """What can be said about each phrase, by name; `found` holds a mask for each, bool (n, h, w)."""
    rows: list[Row] = []
    for place, truth in enumerate(asked.truth):
        # The other phrase about the same picture is the control: it should find something else.
        other = place ^ 1
        if not truth.any():
            rows.append({"absent empty": float(found[place].sum() < EMPTY)})
        elif truth.sum() > SMALLEST:
            row = {"present IoU": _iou(found[place], truth)}
            if not (truth & asked.truth[other]).any():
                row["swapped IoU"] = _iou(found[other], truth)
            rows.append(row)
    return rows


@torch.no_grad()
def answers(model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, asked: Asked) -> np.ndarray:
    """What the model finds by each phrase, bool (n, h, w)."""
    side = model.config.vision_config.image_size
    x = as_input(asked.pixels, side)[torch.from_numpy(asked.which)]
    words = torch.tensor([token_ids(tokenizer, phrase) for phrase in asked.phrases])
    logits = model(pixel_values=x.to(model.device), input_ids=words.to(model.device)).logits.cpu()
    size = asked.pixels.shape[1:3]
    return (F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0] > 0).numpy()


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))

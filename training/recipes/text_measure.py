"""Figures of a text head: IoU of present things, empty masks of absent ones, IoU with another phrase."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

from training.recipes.figure import Row, tally
from training.recipes.sam_forward import network_input
from training.recipes.text_samples import PhraseBatch, phrase_batch
from training.recipes.tokenizer import token_ids

EMPTY = 30  # pixels of 128 x 128 below which an answer counts as empty
SMALLEST = 40  # pixels below which a thing is too hidden to count
_PICTURES, _PHRASES = 15, 2


def phrase_batches(split: str, count: int) -> Iterator[PhraseBatch]:
    """Two phrases about each of `count` scenes, or a few more, some scenes at a time."""
    for step in range(0, 4 * -(-count // _PICTURES), 4):
        yield phrase_batch(split, step, _PICTURES, _PHRASES)


def text_figures(
    model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, split: str, count: int
) -> dict[str, float]:
    """Means over the phrases, by the stock forward at its stock threshold."""
    rows: list[Row] = []
    for batch in phrase_batches(split, count):
        rows += figures_of(batch, find_masks(model, tokenizer, batch))
    return tally(rows)


def figures_of(batch: PhraseBatch, found: np.ndarray) -> list[Row]:
    """The measurements of each phrase, by name; `found` holds a mask for each, bool (n, h, w)."""
    rows: list[Row] = []
    for place, truth in enumerate(batch.truth):
        # The other phrase of the same picture is the control: it should find something else.
        other = place ^ 1
        if not truth.any():
            rows.append({"absent empty": float(found[place].sum() < EMPTY)})
        elif truth.sum() > SMALLEST:
            row = {"present IoU": _iou(found[place], truth)}
            if not (truth & batch.truth[other]).any():
                row["swapped IoU"] = _iou(found[other], truth)
            rows.append(row)
    return rows


@torch.no_grad()
def find_masks(
    model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, batch: PhraseBatch
) -> np.ndarray:
    """The masks that a model finds for the phrases, bool (n, h, w)."""
    side = model.config.vision_config.image_size
    x = network_input(batch.pixels, side)[torch.from_numpy(batch.which)]
    words = torch.tensor([token_ids(tokenizer, phrase) for phrase in batch.phrases])
    logits = model(pixel_values=x.to(model.device), input_ids=words.to(model.device)).logits.cpu()
    size = batch.pixels.shape[1:3]
    return (F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0] > 0).numpy()


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))

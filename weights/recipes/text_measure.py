"""Figures of words: does a phrase find what it names, find nothing that is absent, and matter at all?"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F
from transformers import CLIPSegForImageSegmentation, CLIPTokenizer

from weights.recipes.sam_sight import as_input
from weights.recipes.text_lesson import ask
from weights.recipes.tokenizer import token_ids

EMPTY = 30  # pixels of 128 x 128 below which an answer counts as empty
SMALLEST = 40  # pixels below which a thing is too hidden to be asked for
_PICTURES, _PHRASES = 15, 2


@torch.no_grad()
def text_figures(
    model: CLIPSegForImageSegmentation, tokenizer: CLIPTokenizer, split: str, count: int
) -> dict[str, float]:
    """Means over two phrases about each of `count` scenes, by the stock forward at its stock threshold."""
    present, swapped, empty = [], [], []
    for step in range(0, 4 * -(-count // _PICTURES), 4):
        asked = ask(split, step, _PICTURES, _PHRASES)
        # The other phrase about the same picture is the control: it should find something else.
        other = [asked.phrases[place ^ 1] for place in range(len(asked.phrases))]
        answers, crossed = (_answer(model, tokenizer, asked, phrases) for phrases in (asked.phrases, other))
        for place, truth in enumerate(asked.truth):
            if not truth.any():
                empty.append(float(answers[place].sum() < EMPTY))
            elif truth.sum() > SMALLEST:
                present.append(_iou(answers[place], truth))
                if not (truth & asked.truth[place ^ 1]).any():
                    swapped.append(_iou(crossed[place], truth))
    return {
        "present IoU": float(np.mean(present)),
        "absent empty": float(np.mean(empty)),
        "swapped IoU": float(np.mean(swapped)),
    }


def _answer(model, tokenizer, asked, phrases: list[str]) -> np.ndarray:
    side = model.config.vision_config.image_size
    x = as_input(asked.pixels, side)[torch.from_numpy(asked.which)]
    words = torch.tensor([token_ids(tokenizer, phrase) for phrase in phrases])
    logits = model(pixel_values=x.to(model.device), input_ids=words.to(model.device)).logits.cpu()
    size = asked.pixels.shape[1:3]
    return (F.interpolate(logits[:, None], size=size, mode="bilinear", align_corners=False)[:, 0] > 0).numpy()


def _iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))

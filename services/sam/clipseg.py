"""Words by CLIPSeg: it says where, roughly, and SAM 2 finds the outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from services.sam.components import Part, parts_of
from services.sam.picture_ref import Shown
from services.sam.preprocessing import Looks, prepared
from services.sam.sam2 import Prompt, Sam2
from services.sam.words import Instances

MOST_PARTS = 64
SAME = 0.5  # IoU from which two outlines are of one thing


@dataclass(frozen=True)
class Activations:
    """What the layers of the image tower that CLIPSeg listens to made of a picture."""

    height: int
    width: int
    layers: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(layer.numel() * layer.element_size() for layer in self.layers)


class ClipSegWords:
    """Transformers' `CLIPSegForImageSegmentation`, which gives one map for everything a phrase names."""

    name = "clipseg"

    def __init__(self, network: Any, tokenizer: Any, looks: Looks, sam: Sam2) -> None:
        self._network, self._tokenizer, self._looks, self._sam = network, tokenizer, looks, sam
        self._longest: int = network.config.text_config.max_position_embeddings
        self.size = looks.size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> Activations:
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            seen = self._network.clip.vision_model(
                pixel_values=prepared(picture.to(device), self._looks),
                interpolate_pos_encoding=True,
                output_hidden_states=True,
            ).hidden_states
        # The first of the hidden states is what the layers begin with.
        layers = tuple(seen[layer + 1].float() for layer in self._network.extract_layers)
        height, width = picture.shape[:2]
        return Activations(height, width, layers)

    @torch.inference_mode()
    def find(self, picture: Shown, phrase: str) -> Instances:
        """Parts of the map that hang together are things; SAM 2 outlines each from its box and its middle.

        A thing's score is the map's mean over its outline: how far the words and the outline agree.
        """
        known = picture.known_to(self)
        chances = self.map_of(known, phrase).cpu()
        # Cut at half its height, a map that never comes near certainty tells how near it came.
        parts = parts_of(chances, float(chances.max()) / 2, most=MOST_PARTS)
        if not parts:
            return Instances(known.height, known.width, torch.zeros(0), torch.zeros(0, 1, 1), level=0.0)
        prompts = [
            _prompt(part, known.width / chances.shape[1], known.height / chances.shape[0]) for part in parts
        ]
        outlines = self._sam.outlined(picture.known_to(self._sam), prompts)
        scores = _agreement(chances.to(outlines.device), outlines > 0)
        apart = _apart(outlines > 0, scores)
        return Instances(known.height, known.width, scores[apart], outlines[apart], level=0.0)

    @torch.inference_mode()
    def map_of(self, known: Activations, phrase: str) -> Tensor:
        """How likely each pixel, of those that the head makes, is named by a phrase."""
        words = self._tokenizer(
            phrase, padding="max_length", max_length=self._longest, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        meaning = self._network.clip.get_text_features(input_ids=words.input_ids).pooler_output
        return self._network.decoder(known.layers, meaning).logits[0].float().sigmoid()


def _prompt(part: Part, across: float, down: float) -> Prompt:
    """A part in pixels of the picture, one of the map being `across` wide and `down` high there."""
    return Prompt(
        points=torch.tensor([[part.x * across, part.y * down, 1.0]]),
        box=torch.tensor(part.box) * torch.tensor([across, down, across, down]),
    )


def _agreement(chances: Tensor, inside: Tensor) -> Tensor:
    """The mean of a map over each outline (count, h, w); 0 for an empty one."""
    spread = functional.interpolate(
        chances[None, None], size=inside.shape[1:], mode="bilinear", align_corners=False
    )[0, 0]
    return (spread * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def _apart(inside: Tensor, scores: Tensor) -> Tensor:
    """Which outlines (count, h, w) to keep, by falling score, so that every thing is there once."""
    flat = inside.flatten(1).float()
    shared, areas = flat @ flat.T, flat.sum(1)
    same = shared >= SAME * (areas[:, None] + areas - shared).clamp(min=1)
    kept: list[int] = []
    for place in scores.argsort(descending=True, stable=True).tolist():
        if not bool(same[place, kept].any()):
            kept.append(place)
    return torch.tensor(kept, dtype=torch.long, device=inside.device)

"""A text head by CLIPSeg: it gives a coarse map of a phrase, and SAM 2 finds the outlines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from services.sam.components import Component, components_of
from services.sam.picture_ref import PictureRef
from services.sam.preprocessing import Preprocessing, preprocess
from services.sam.sam2 import Prompt, Sam2
from services.sam.text_head import Instances

MOST_COMPONENTS = 64
SAME = 0.5  # IoU from which two outlines count as the same thing


@dataclass(frozen=True)
class ClipSegFeatures:
    """The outputs of those layers of the image tower that CLIPSeg's decoder uses."""

    height: int
    width: int
    layers: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(layer.numel() * layer.element_size() for layer in self.layers)


class ClipSegTextHead:
    """Finds things by transformers' `CLIPSegForImageSegmentation`, whose map shows all of them at once."""

    name = "clipseg"

    def __init__(self, network: Any, tokenizer: Any, preprocessing: Preprocessing, sam: Sam2) -> None:
        self._network, self._tokenizer, self._preprocessing, self._sam = (
            network,
            tokenizer,
            preprocessing,
            sam,
        )
        self._longest: int = network.config.text_config.max_position_embeddings
        self.size = preprocessing.size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> ClipSegFeatures:
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            states = self._network.clip.vision_model(
                pixel_values=preprocess(picture.to(device), self._preprocessing),
                interpolate_pos_encoding=True,
                output_hidden_states=True,
            ).hidden_states
        # The first hidden state is the input of the first layer.
        layers = tuple(states[layer + 1].float() for layer in self._network.extract_layers)
        height, width = picture.shape[:2]
        return ClipSegFeatures(height, width, layers)

    @torch.inference_mode()
    def find(self, picture: PictureRef, phrase: str) -> Instances:
        """The connected components of the map, each outlined by SAM 2 from its box and its deepest point.

        A thing's score is the map's mean over its outline: how far phrase and outline agree.
        """
        features = picture.features_of(self)
        chances = self.map_of(features, phrase).cpu()
        # Half of the highest value, so that a map with low values has components too.
        components = components_of(chances, float(chances.max()) / 2, most=MOST_COMPONENTS)
        if not components:
            return Instances(features.height, features.width, torch.zeros(0), torch.zeros(0, 1, 1), level=0.0)
        prompts = [
            _prompt(each, features.width / chances.shape[1], features.height / chances.shape[0])
            for each in components
        ]
        outlines = self._sam.segment_each(picture.features_of(self._sam), prompts)
        scores = _agreement(chances.to(outlines.device), outlines > 0)
        distinct = _distinct(outlines > 0, scores)
        return Instances(features.height, features.width, scores[distinct], outlines[distinct], level=0.0)

    @torch.inference_mode()
    def map_of(self, features: ClipSegFeatures, phrase: str) -> Tensor:
        """The probability of each pixel, float32 (h, w) of the head's own size, to be named by a phrase."""
        words = self._tokenizer(
            phrase, padding="max_length", max_length=self._longest, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        text = self._network.clip.get_text_features(input_ids=words.input_ids).pooler_output
        return self._network.decoder(features.layers, text).logits[0].float().sigmoid()


def _prompt(component: Component, across: float, down: float) -> Prompt:
    """A component's click and box in the picture, where a pixel of the map is `across` x `down` pixels."""
    return Prompt(
        points=torch.tensor([[component.x * across, component.y * down, 1.0]]),
        box=torch.tensor(component.box) * torch.tensor([across, down, across, down]),
    )


def _agreement(chances: Tensor, inside: Tensor) -> Tensor:
    """The mean of a map over each outline (count, h, w); 0 for an empty one."""
    spread = functional.interpolate(
        chances[None, None], size=inside.shape[1:], mode="bilinear", align_corners=False
    )[0, 0]
    return (spread * inside).sum((1, 2)) / inside.sum((1, 2)).clamp(min=1)


def _distinct(inside: Tensor, scores: Tensor) -> Tensor:
    """The indices of the outlines (count, h, w) that remain, by falling score, with every thing once."""
    flat = inside.flatten(1).float()
    shared, areas = flat @ flat.T, flat.sum(1)
    same = shared >= SAME * (areas[:, None] + areas - shared).clamp(min=1)
    chosen: list[int] = []
    for place in scores.argsort(descending=True, stable=True).tolist():
        if not bool(same[place, chosen].any()):
            chosen.append(place)
    return torch.tensor(chosen, dtype=torch.long, device=inside.device)

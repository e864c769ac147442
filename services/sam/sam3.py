"""Words by SAM 3: it finds instances itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.sam.picture_ref import Shown
from services.sam.preprocessing import Looks, prepared
from services.sam.words import Instances


@dataclass(frozen=True)
class Levels:
    """What the image encoder made of a picture, finest first."""

    height: int
    width: int
    levels: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(level.numel() * level.element_size() for level in self.levels)


class Sam3Words:
    """Transformers' `Sam3Model`; instances are read as its own processor reads them."""

    name = "sam3"

    def __init__(self, network: Any, tokenizer: Any, looks: Looks) -> None:
        self._network, self._tokenizer, self._looks = network, tokenizer, looks
        self._longest: int = network.config.text_config.max_position_embeddings
        self._positions: tuple[Tensor, ...] = ()  # of a level's places; for all pictures the same
        self.size = looks.size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> Levels:
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            seen = self._network.get_vision_features(prepared(picture.to(device), self._looks))
        self._positions = tuple(places.float() for places in seen.fpn_position_encoding)
        height, width = picture.shape[:2]
        return Levels(height, width, tuple(level.float() for level in seen.fpn_hidden_states))

    @torch.inference_mode()
    def find(self, picture: Shown, phrase: str) -> Instances:
        """A query's score is how well it fits the phrase, times how likely such a thing is there at all."""
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        words = self._tokenizer(
            phrase, padding="max_length", max_length=self._longest, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        known = picture.known_to(self)
        answer = self._network(
            vision_embeds=Sam3VisionEncoderOutput(
                fpn_hidden_states=known.levels, fpn_position_encoding=self._positions
            ),
            input_ids=words.input_ids,
            attention_mask=words.attention_mask,
        )
        scores = answer.pred_logits.sigmoid() * answer.presence_logits.sigmoid()
        return Instances(known.height, known.width, scores[0], answer.pred_masks[0].sigmoid(), level=0.5)

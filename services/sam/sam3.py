"""Words by SAM 3: it finds instances itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.sam.network import Sam2
from services.sam.picture import Looks, prepared
from services.sam.shown import Shown
from services.sam.words import Instances


@dataclass(frozen=True)
class Sam3Features:
    """What the image encoder made of a picture: `features` is its own output, in float32."""

    height: int
    width: int
    features: Any

    @property
    def bytes(self) -> int:
        """Positions are not counted: pictures share them."""
        return sum(level.numel() * level.element_size() for level in self.features.fpn_hidden_states)


class Sam3Words:
    """Transformers' `Sam3Model`; instances are read as its own processor reads them."""

    name = "sam3"

    def __init__(self, network: Any, tokenizer: Any, looks: Looks, sam: Sam2) -> None:
        """`sam` has no part in it: these instances need no refinement."""
        self._network, self._tokenizer, self._looks = network, tokenizer, looks
        self._longest: int = network.config.text_config.max_position_embeddings
        self.size = looks.size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> Sam3Features:
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            seen = self._network.get_vision_features(prepared(picture.to(device), self._looks))
        levels = tuple(level.float() for level in seen.fpn_hidden_states)
        positions = tuple(position.float() for position in seen.fpn_position_encoding)
        height, width = picture.shape[:2]
        features = type(seen)(fpn_hidden_states=levels, fpn_position_encoding=positions)
        return Sam3Features(height, width, features)

    @torch.inference_mode()
    def find(self, picture: Shown, phrase: str) -> Instances:
        """A query's score is how well it fits the phrase, times how likely such a thing is there at all."""
        words = self._tokenizer(
            phrase, padding="max_length", max_length=self._longest, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        known = picture.known_to(self)
        answer = self._network(
            vision_embeds=known.features, input_ids=words.input_ids, attention_mask=words.attention_mask
        )
        scores = answer.pred_logits.sigmoid() * answer.presence_logits.sigmoid()
        return Instances(known.height, known.width, scores[0], answer.pred_masks[0].sigmoid(), level=0.5)

"""A text head by SAM 3, which finds instances itself."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.sam.picture_ref import PictureRef
from services.sam.preprocessing import Preprocessing, preprocess
from services.sam.text_head import Instances

_MARGIN = (0.27, 0.73)  # of chances: logits of -1 and 1


@dataclass(frozen=True)
class Sam3Features:
    """The feature maps of SAM 3's image encoder, finest first."""

    height: int
    width: int
    levels: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(level.numel() * level.element_size() for level in self.levels)


class Sam3TextHead:
    """Finds things by transformers' `Sam3Model`; instances are read as its own processor reads them."""

    name = "sam3"

    def __init__(self, network: Any, tokenizer: Any, preprocessing: Preprocessing) -> None:
        self._network, self._tokenizer, self._preprocessing = network, tokenizer, preprocessing
        self._longest: int = network.config.text_config.max_position_embeddings
        self._positions: tuple[Tensor, ...] = ()  # of each level; the same for all pictures
        self.size = preprocessing.size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> Sam3Features:
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            vision = self._network.get_vision_features(preprocess(picture.to(device), self._preprocessing))
        self._positions = tuple(places.float() for places in vision.fpn_position_encoding)
        height, width = picture.shape[:2]
        return Sam3Features(height, width, tuple(level.float() for level in vision.fpn_hidden_states))

    @torch.inference_mode()
    def find(self, picture: PictureRef, phrase: str) -> Instances:
        """All queries of the network; a score is how well a query fits, times how likely the thing is there
        at all."""
        from transformers.models.sam3.modeling_sam3 import Sam3VisionEncoderOutput

        words = self._tokenizer(
            phrase, padding="max_length", max_length=self._longest, truncation=True, return_tensors="pt"
        ).to(self._network.device)
        features = picture.features_of(self)
        answer = self._network(
            vision_embeds=Sam3VisionEncoderOutput(
                fpn_hidden_states=features.levels, fpn_position_encoding=self._positions
            ),
            input_ids=words.input_ids,
            attention_mask=words.attention_mask,
        )
        scores = answer.pred_logits.sigmoid() * answer.presence_logits.sigmoid()
        maps = answer.pred_masks[0].sigmoid()
        return Instances(features.height, features.width, scores[0], maps, level=0.5, margin=_MARGIN)

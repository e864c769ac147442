"""SAM 2 on still pictures: features are computed once, then used for any number of prompts.

sam2's own predictor for stills needs torchvision; this makes the same calls of the same network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.sam.image_encoder import ImageEncoder, PictureFeatures
from services.sam.mask import as_logits, masks_from_maps, stability
from services.sam.stream import stream_on

# The labels of a box's corners among the points of sam2's prompt encoder.
_BOX_LABELS = (2.0, 3.0)
_BATCH = 16  # prompts in one pass; each has its own copy of the features


@dataclass(frozen=True)
class Prompt:
    """A prompt. `points` (count, 3) are x, y, label; `box` is left, top, right, bottom; in pixels of
    the picture. `mask`, uint8 (height, width) of 0 and 1, is an earlier result to correct."""

    points: Tensor | None = None
    box: Tensor | None = None
    mask: Tensor | None = None

    @property
    def ambiguous(self) -> bool:
        """True for a single click, which may mean a thing, a part of it, or what it belongs to."""
        alone = self.box is None and self.mask is None
        return alone and self.points is not None and len(self.points) == 1

    def rows(self) -> Tensor:
        """Box corners and clicks together, corners first, as (count, 3): x, y, label."""
        rows = [] if self.points is None else [self.points]
        if self.box is not None:
            rows.insert(0, torch.cat([self.box.view(2, 2), torch.tensor(_BOX_LABELS).view(2, 1)], dim=1))
        return torch.cat(rows)


@dataclass(frozen=True)
class Candidates:
    """`masks` uint8 (count, height, width) of 0 and 1, `scores` and `stability` float32 (count), by falling
    score."""

    masks: Tensor
    scores: Tensor
    stability: Tensor

    def tensors(self) -> dict[str, Tensor]:
        """The outputs of the model."""
        return {"masks": self.masks, "scores": self.scores, "stability": self.stability}


class Sam2:
    """A SAM 2 network for stills."""

    name = "sam2"

    def __init__(self, network: Any) -> None:
        self._network = network
        self.size: int = self._network.image_size
        self.encoder = ImageEncoder(network, stream_on(network.device))

    def embed(self, picture: Tensor) -> PictureFeatures:
        """The features of a picture, uint8 (height, width, 3)."""
        (features,) = self.encoder.begin([picture])
        return features()

    @torch.inference_mode()
    def segment(self, picture: PictureFeatures, prompt: Prompt) -> Candidates:
        """The masks that a prompt may mean: three for an ambiguous one, else one."""
        logits, scores = self._decode(picture, [prompt], several=prompt.ambiguous)
        scores, order = scores[0].clamp(0, 1).sort(descending=True, stable=True)
        maps = logits[0, order]
        masks = masks_from_maps(maps, picture.height, picture.width)
        return Candidates(masks, scores.cpu(), stability(maps))

    @torch.inference_mode()
    def segment_each(self, picture: PictureFeatures, prompts: Sequence[Prompt]) -> Tensor:
        """The logits (prompts, height, width), of the network's own size, of the best mask for each prompt.

        All prompts must have the same number of points and corners, and either all or none a mask.
        """
        batches = [prompts[first : first + _BATCH] for first in range(0, len(prompts), _BATCH)]
        return torch.cat([self._decode(picture, batch, several=False)[0][:, 0] for batch in batches])

    def _decode(
        self, picture: PictureFeatures, prompts: Sequence[Prompt], *, several: bool
    ) -> tuple[Tensor, Tensor]:
        """Logits (prompts, answers, h, w) and scores (prompts, answers)."""
        points = torch.stack([prompt.rows() for prompt in prompts]).to(self._network.device)
        square = points[..., :2] / points.new_tensor([picture.width, picture.height]) * self.size
        encoder = self._network.sam_prompt_encoder
        corrected = [
            as_logits(each.mask, encoder.mask_input_size) for each in prompts if each.mask is not None
        ]
        sparse, dense = encoder(
            points=(square, points[..., 2].int()),
            boxes=None,
            masks=torch.cat(corrected).to(points.device) if corrected else None,
        )
        coarse = picture.coarse.float()
        if self._network.directly_add_no_mem_embed:
            # A still is like the first frame of a clip: there is no memory yet.
            coarse = coarse + self._network.no_mem_embed.view(1, -1, 1, 1)
        logits, scores, _, _ = self._network.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            repeat_image=True,
            high_res_features=[level.float() for level in picture.details] or None,
        )
        return logits.float(), scores.float()

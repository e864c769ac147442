"""SAM 2 on still pictures: embed once, then prompt as often as one likes.

sam2's own predictor for stills needs torchvision; this is the same walk through the same network.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from services.sam.mask import as_logits, drawn
from services.sam.preprocessing import Looks, prepared

# How sam2's prompt encoder marks the corners of a box among points.
_BOX_LABELS = (2.0, 3.0)
_AT_ONCE = 16  # prompts on one picture; each takes its own copy of the features


@dataclass(frozen=True)
class Embedded:
    """What the network knows of a picture, be it a still or a frame. `details` are its finer feature maps,
    coarsest last."""

    height: int
    width: int
    coarse: Tensor
    details: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in (self.coarse, *self.details))


@dataclass(frozen=True)
class Prompt:
    """What is meant. `points` (count, 3) are x, y, label; `box` is left, top, right, bottom; in pixels of
    the picture. `mask`, uint8 (height, width) of 0 and 1, is an earlier answer to be corrected."""

    points: Tensor | None = None
    box: Tensor | None = None
    mask: Tensor | None = None

    @property
    def ambiguous(self) -> bool:
        """A single click may mean a thing, a part of it, or what it belongs to."""
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
    """`masks` uint8 (count, height, width) of 0 and 1 and `scores` float32 (count), by falling score."""

    masks: Tensor
    scores: Tensor


class Sam2:
    """A SAM 2 network for stills. On a GPU pictures are embedded in bfloat16, as sam2 itself advises."""

    name = "sam2"

    def __init__(self, network: Any) -> None:
        self._network = network
        self.size: int = self._network.image_size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> Embedded:
        """What is there to know of a picture, uint8 (height, width, 3)."""
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            features = self._network.forward_image(prepared(picture.to(device), Looks(self.size)))
        levels = [level.float() for level in features["backbone_fpn"][-self._network.num_feature_levels :]]
        height, width = picture.shape[:2]
        return Embedded(height, width, levels[-1], tuple(levels[:-1]))

    @torch.inference_mode()
    def segment(self, picture: Embedded, prompt: Prompt) -> Candidates:
        """Three candidates for an ambiguous prompt, else one."""
        logits, scores = self._decoded(picture, [prompt], several=prompt.ambiguous)
        scores, order = scores[0].clamp(0, 1).sort(descending=True, stable=True)
        return Candidates(drawn(logits[0, order], picture.height, picture.width), scores.cpu())

    @torch.inference_mode()
    def outlined(self, picture: Embedded, prompts: Sequence[Prompt]) -> Tensor:
        """One answer to each prompt, as logits (prompts, height, width) of the network's own size.

        All prompts have as many points and corners as each other, and all of them a mask or none.
        """
        lots = [prompts[first : first + _AT_ONCE] for first in range(0, len(prompts), _AT_ONCE)]
        return torch.cat([self._decoded(picture, lot, several=False)[0][:, 0] for lot in lots])

    def _decoded(
        self, picture: Embedded, prompts: Sequence[Prompt], *, several: bool
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
        coarse = picture.coarse
        if self._network.directly_add_no_mem_embed:
            # A still is a clip's first frame: there is nothing to remember yet.
            coarse = coarse + self._network.no_mem_embed.view(1, -1, 1, 1)
        logits, scores, _, _ = self._network.sam_mask_decoder(
            image_embeddings=coarse,
            image_pe=encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=several,
            repeat_image=True,
            high_res_features=list(picture.details) or None,
        )
        return logits.float(), scores.float()

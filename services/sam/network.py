"""SAM 2 on still pictures: embed once, then prompt as often as one likes.

sam2's own predictor for stills needs torchvision; this is the same walk through the same network.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from services.sam.picture import prepared

# How sam2's prompt encoder marks the corners of a box among points.
_BOX_LABELS = (2.0, 3.0)


@dataclass(frozen=True)
class Embedded:
    """What the network knows of a picture. `details` are its finer feature maps, coarsest last."""

    height: int
    width: int
    coarse: Tensor
    details: tuple[Tensor, ...]

    @property
    def bytes(self) -> int:
        return sum(part.numel() * part.element_size() for part in (self.coarse, *self.details))


@dataclass(frozen=True)
class Prompt:
    """`points` (count, 3) are x, y, label; `box` is left, top, right, bottom; in pixels of the picture."""

    points: Tensor | None = None
    box: Tensor | None = None

    @property
    def ambiguous(self) -> bool:
        """A single click may mean a thing, a part of it, or what it belongs to."""
        return self.box is None and self.points is not None and len(self.points) == 1


@dataclass(frozen=True)
class Candidates:
    """`masks` uint8 (count, height, width) of 0 and 1 and `scores` float32 (count), by falling score."""

    masks: Tensor
    scores: Tensor


class Sam2:
    """A SAM 2 network for stills. On a GPU pictures are embedded in bfloat16, as sam2 itself advises."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.size: int = self._network.image_size

    @torch.inference_mode()
    def embed(self, picture: Tensor) -> Embedded:
        """What is there to know of a picture, uint8 (height, width, 3)."""
        device = self._network.device
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            features = self._network.forward_image(prepared(picture.to(device), self.size))
        levels = [level.float() for level in features["backbone_fpn"][-self._network.num_feature_levels :]]
        coarse = levels[-1]
        if self._network.directly_add_no_mem_embed:
            # A still is a clip's first frame: there is nothing to remember yet.
            coarse = coarse + self._network.no_mem_embed.view(1, -1, 1, 1)
        height, width = picture.shape[:2]
        return Embedded(height, width, coarse, tuple(levels[:-1]))

    @torch.inference_mode()
    def segment(self, picture: Embedded, prompt: Prompt) -> Candidates:
        """Three candidates for an ambiguous prompt, else one."""
        coordinates, labels = self._points(picture, prompt)
        sparse, dense = self._network.sam_prompt_encoder(points=(coordinates, labels), boxes=None, masks=None)
        logits, scores, _, _ = self._network.sam_mask_decoder(
            image_embeddings=picture.coarse,
            image_pe=self._network.sam_prompt_encoder.get_dense_pe(),
            sparse_prompt_embeddings=sparse,
            dense_prompt_embeddings=dense,
            multimask_output=prompt.ambiguous,
            repeat_image=False,
            high_res_features=list(picture.details) or None,
        )
        scores, order = scores[0].float().clamp(0, 1).sort(descending=True, stable=True)
        masks = torch.stack([self._mask(logits[:, [rank]], picture) for rank in order.tolist()])
        return Candidates(masks.cpu(), scores.cpu())

    def _points(self, picture: Embedded, prompt: Prompt) -> tuple[Tensor, Tensor]:
        """Clicks and box corners together, corners first, in pixels of the square the network sees."""
        rows = []
        if prompt.box is not None:
            rows.append(torch.cat([prompt.box.view(2, 2), torch.tensor(_BOX_LABELS).view(2, 1)], dim=1))
        if prompt.points is not None:
            rows.append(prompt.points)
        points = torch.cat(rows).to(self._network.device)
        square = points[:, :2] / points.new_tensor([picture.width, picture.height]) * self.size
        return square[None], points[None, :, 2].int()

    def _mask(self, logits: Tensor, picture: Embedded) -> Tensor:
        """One candidate at the picture's own size: one at a time, as these are the largest tensors here."""
        size = (picture.height, picture.width)
        full = functional.interpolate(logits.float(), size=size, mode="bilinear", align_corners=False)
        return (full[0, 0] > 0).to(torch.uint8)

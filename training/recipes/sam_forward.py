"""Forward passes of stock SAM 2: features of pictures, masks for prompts, masks through a clip.

Everything here calls the stock network; what it adds is batching over pictures and prompts at once.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor

_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
_DEVIATION = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


@dataclass(frozen=True)
class FrameFeatures:
    """Features of n pictures, fine to coarse, each (places, n, channels), with positions and sizes."""

    features: list[Tensor]
    positions: list[Tensor]
    sizes: list[tuple[int, int]]

    def maps(self) -> list[Tensor]:
        """The same features as (n, channels, height, width)."""
        return [
            feature.permute(1, 2, 0).unflatten(2, size)
            for feature, size in zip(self.features, self.sizes, strict=True)
        ]

    def only(self, which: Tensor) -> FrameFeatures:
        """Some of the pictures, in any order, repeats allowed."""
        return FrameFeatures(
            [f[:, which] for f in self.features], [p[:, which] for p in self.positions], self.sizes
        )


@dataclass(frozen=True)
class Prediction:
    """For n prompts: logits (n, k, s/4, s/4), estimates of IoU (n, k), a logit of presence (n, 1)."""

    logits: Tensor
    quality: Tensor
    presence: Tensor

    def best(self) -> Tensor:
        """The logits (n, s/4, s/4) of the mask with the highest estimated IoU."""
        return self.logits[torch.arange(len(self.logits)), self.quality.argmax(1)]


def network_input(pictures: np.ndarray, side: int, interpolation: int = cv2.INTER_LINEAR) -> Tensor:
    """Pictures (n, height, width, 3) as SAM 2 reads them: (n, 3, side, side), normalised."""
    if pictures.shape[1:3] != (side, side):
        pictures = np.stack([cv2.resize(p, (side, side), interpolation=interpolation) for p in pictures])
    x = torch.from_numpy(np.ascontiguousarray(pictures)).permute(0, 3, 1, 2).float() / 255
    return (x - _MEAN) / _DEVIATION


def features_of(sam: SAM2Base, x: Tensor) -> FrameFeatures:
    _, features, positions, sizes = sam._prepare_backbone_features(sam.forward_image(x.to(sam.device)))
    return FrameFeatures(features, positions, sizes)


def predict(
    sam: SAM2Base,
    features: FrameFeatures,
    points: dict[str, Tensor],
    *,
    several: bool,
    before: Tensor | None = None,
) -> Prediction:
    """Masks for one prompt on each picture; `before`: the logits (n, 1, s/4, s/4) to correct."""
    *fine, coarse = features.maps()
    with _decoder_outputs(sam) as outputs:
        sam._forward_sam_heads(
            backbone_features=coarse + sam.no_mem_embed.view(1, -1, 1, 1),
            point_inputs=_on_device(sam, points),
            mask_inputs=before,
            high_res_features=fine,
            multimask_output=several,
        )
    return outputs[-1]


def track(
    sam: SAM2Base,
    features: FrameFeatures,
    frames: int,
    *,
    points=None,
    mask: Tensor | None = None,
    length: int | None = None,
) -> list[Prediction | None]:
    """Predictions frame by frame for n clips, prompted on their first frame by points or a mask (n, 1, s, s).

    `features` holds all frames, clip after clip. A frame given as a mask has no prediction (None). `length`
    is the number of frames that the network assumes, which scales its time encoding.
    """
    clips = features.features[0].shape[1] // frames
    memory: dict[str, dict] = {"cond_frame_outputs": {}, "non_cond_frame_outputs": {}}
    predictions: list[Prediction | None] = []
    for frame in range(frames):
        current, first = features.only(torch.arange(clips) * frames + frame), frame == 0
        with _decoder_outputs(sam) as outputs:
            out = sam.track_step(
                frame_idx=frame,
                is_init_cond_frame=first,
                current_vision_feats=current.features,
                current_vision_pos_embeds=current.positions,
                feat_sizes=current.sizes,
                point_inputs=_on_device(sam, points) if first else None,
                mask_inputs=mask.to(sam.device) if first and mask is not None else None,
                output_dict=memory,
                num_frames=length or frames,
            )
        memory["cond_frame_outputs" if first else "non_cond_frame_outputs"][frame] = out
        predictions.append(None if first and mask is not None else outputs[-1])
    return predictions


def _on_device(sam: SAM2Base, points: dict[str, Tensor] | None) -> dict[str, Tensor] | None:
    return points and {name: part.to(sam.device) for name, part in points.items()}


@contextmanager
def _decoder_outputs(sam: SAM2Base):
    """Collects the decoder's outputs, before the network replaces the masks of things it finds absent.

    Replaced logits carry no gradient, so training reads them here.
    """
    outputs: list[Prediction] = []
    decoder = sam.sam_mask_decoder
    hook = decoder.register_forward_hook(
        lambda _, __, out: outputs.append(Prediction(out[0], out[1], out[3]))
    )
    try:
        yield outputs
    finally:
        hook.remove()

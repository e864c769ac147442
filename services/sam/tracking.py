"""SAM 2 on clips: a thing in a frame, given by a mask or found by the memory of earlier frames.

sam2's own predictor for clips needs all frames at once and stores what it computed for each of them; this
makes the same calls of the same network, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from services.sam import half_precision
from services.sam.image_encoder import PictureFeatures
from services.sam.memory import AttentionWindow, FrameMemory, Memory

_UNKNOWN_LENGTH = 2**31  # frames of a clip, whose number is not known in advance


@dataclass(frozen=True)
class Detection:
    """The thing in a frame: `logits` float32 (h, w) of the network's own size, above 0 where it is;
    `presence` float32 (1), the probability that it is there at all."""

    logits: Tensor
    presence: Tensor


class Tracker:
    """Tracks one thing. It has no state: the memory is an argument and a result of each call. On a GPU it
    computes in bfloat16, as sam2 recommends."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.window = AttentionWindow.of(network)

    @torch.inference_mode()
    def track(
        self, picture: PictureFeatures, frame: int, memory: Memory, *, mask: Tensor | None = None
    ) -> tuple[Detection, Memory]:
        """The thing in a frame, and the memory with this frame. `mask` (1, 1, size, size) of 0 and 1, of the
        network's size, gives it; without one the memory must hold a sighting."""
        network, device = self._network, self._network.device
        levels = [*picture.details, picture.coarse]
        rows = [level.flatten(2).permute(2, 0, 1) for level in levels]
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        with half_precision.autocast(device):
            found = network.track_step(
                frame_idx=frame,
                is_init_cond_frame=mask is not None,
                current_vision_feats=rows,
                current_vision_pos_embeds=[_positions(network.image_encoder.neck, picture.coarse)],
                feat_sizes=sizes,
                point_inputs=None,
                mask_inputs=mask.to(device) if mask is not None else None,
                output_dict=self._output_dict(memory),
                num_frames=_UNKNOWN_LENGTH,
                run_mem_encoder=False,
            )
            logits, score = found["pred_masks"].float(), found["object_score_logits"].float()
            large = found["pred_masks_high_res"]
            if mask is not None:
                # A sighting is encoded no finer than what is found.
                large = functional.interpolate(
                    logits, size=large.shape[-2:], mode="bilinear", align_corners=False
                )
            encoded, _ = network._encode_new_memory(
                current_vision_feats=rows,
                feat_sizes=sizes,
                pred_masks_high_res=large,
                object_score_logits=score,
                is_mask_from_pts=mask is not None,
            )
        # sam2 stores maps in bfloat16 and attends to the rounded values.
        frame_memory = FrameMemory(encoded.to(torch.bfloat16), found["obj_ptr"])
        after = memory.with_frame(frame, frame_memory, sighting=mask is not None, window=self.window)
        return Detection(logits[0, 0], score.sigmoid().view(1)), after

    def _output_dict(self, memory: Memory) -> dict[str, dict[int, dict[str, Any]]]:
        """A memory in the form of sam2's `output_dict`."""
        outputs: list[dict[int, dict[str, Any]]] = []
        half = half_precision.is_used_on(self._network.device)
        positions: list[Tensor] = []  # of the first map: they are the same for every one
        for frames in (memory.sightings, memory.others):
            outputs.append({})
            for number, each in frames.items():
                outputs[-1][number] = {"obj_ptr": each.pointer}
                if each.map is None:
                    continue
                positions = positions or [self._network.memory_encoder.position_encoding(each.map)]
                features = each.map if half else each.map.float()
                outputs[-1][number] |= {"maskmem_features": features, "maskmem_pos_enc": positions}
        return dict(zip(("cond_frame_outputs", "non_cond_frame_outputs"), outputs, strict=True))


def _positions(neck: Any, level: Tensor) -> Tensor:
    """The position encoding of a feature map, (places, 1, channels): the same for every picture."""
    return neck.position_encoding(level).flatten(2).permute(2, 0, 1)

"""SAM 2 on clips: where a thing is in a frame, told by a mask or found by what is remembered.

sam2's own predictor for clips wants every frame at once and keeps all it has seen; this is the same walk
through the same network, frame by frame.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional

from services.sam.memory import Impression, Memory, Reach
from services.sam.sam2 import Embedded

_NO_END = 2**31  # frames of a clip: nobody knows yet how many there will be


@dataclass(frozen=True)
class Seen:
    """The thing in a frame: `logits` float32 (h, w) of the network's own size, above 0 where it is;
    `presence` float32 (1), how sure it is that it is there at all, in [0, 1]."""

    logits: Tensor
    presence: Tensor


class Follower:
    """Follows one thing. It remembers nothing itself: memory comes with each question and leaves with its
    answer. On a GPU it thinks in bfloat16, as sam2 itself advises."""

    def __init__(self, network: Any) -> None:
        self._network = network
        self.reach = Reach.of(network)

    @torch.inference_mode()
    def look(
        self, picture: Embedded, frame: int, memory: Memory, *, mask: Tensor | None = None
    ) -> tuple[Seen, Memory]:
        """The thing in a frame, and the memory with it. `mask` (1, 1, size, size) of 0 and 1, of the
        network's size, shows it; without one the memory must hold a sighting."""
        network, device = self._network, self._network.device
        levels = [*picture.details, picture.coarse]
        rows = [level.flatten(2).permute(2, 0, 1) for level in levels]
        sizes = [(level.shape[2], level.shape[3]) for level in levels]
        with torch.autocast(device.type, torch.bfloat16, enabled=device.type == "cuda"):
            found = network.track_step(
                frame_idx=frame,
                is_init_cond_frame=mask is not None,
                current_vision_feats=rows,
                current_vision_pos_embeds=[_positions(network.image_encoder.neck, picture.coarse)],
                feat_sizes=sizes,
                point_inputs=None,
                mask_inputs=mask.to(device) if mask is not None else None,
                output_dict=self._recalled(memory),
                num_frames=_NO_END,
                run_mem_encoder=False,
            )
            logits, score = found["pred_masks"].float(), found["object_score_logits"].float()
            large = found["pred_masks_high_res"]
            if mask is not None:
                # A sighting is remembered no finer than what is found.
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
        # sam2 keeps maps in half the bytes and attends to them as they are then.
        impression = Impression(encoded.to(torch.bfloat16), found["obj_ptr"])
        after = memory.and_then(frame, impression, sighting=mask is not None, reach=self.reach)
        return Seen(logits[0, 0], score.sigmoid().view(1)), after

    def _recalled(self, memory: Memory) -> dict[str, dict[int, dict[str, Any]]]:
        """A memory as sam2 lays one out."""
        return {
            "cond_frame_outputs": {number: self._laid(each) for number, each in memory.sightings.items()},
            "non_cond_frame_outputs": {number: self._laid(each) for number, each in memory.others.items()},
        }

    def _laid(self, impression: Impression) -> dict[str, Any]:
        if impression.map is None:
            return {"obj_ptr": impression.pointer}
        features = impression.map.float()
        return {
            "maskmem_features": features,
            "maskmem_pos_enc": [self._network.memory_encoder.position_encoding(features)],
            "obj_ptr": impression.pointer,
        }


def _positions(neck: Any, level: Tensor) -> Tensor:
    """Where each place of a level is, (places, 1, channels): the same for every picture."""
    return neck.position_encoding(level).flatten(2).permute(2, 0, 1)

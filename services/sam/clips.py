"""The memories of tracked clips, by the clip's name."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from services.cache import ByteBudgetCache
from services.refusal import Refusal, invalid
from services.sam import fields
from services.sam.frames_ahead import FrameRef
from services.sam.mask import to_square
from services.sam.memory import Memory
from services.sam.picture_ref import PictureRef
from services.sam.sam2 import Prompt, Sam2
from services.sam.tracking import Tracker

IDLE = 900.0  # seconds after which the memory of an unused clip is removed
MOST_SIGHTINGS = 32  # in the memory of a clip


class ClipMemories:
    """Tracks a thing in each of many clips, independently. If memory is short, the least recently used clip
    is removed first."""

    def __init__(
        self, network: Sam2, tracker: Tracker, *, budget_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._network, self._tracker = network, tracker
        self._memories: ByteBudgetCache[Memory] = ByteBudgetCache(
            budget_bytes, lambda memory: memory.bytes, idle=IDLE, clock=clock
        )

    def track(self, frame: fields.ClipFrame, picture: PictureRef | FrameRef) -> dict[str, Tensor]:
        """`logits` and `presence` of the thing in a frame, and `begun`, the memory's first frame."""
        memory = self._before(frame)
        mask = None
        if frame.mask is not None:
            fields.check_within(Prompt(mask=frame.mask), *picture.size(self._network))
            mask = to_square(frame.mask, self._network.size)
        features = picture.features_of(self._network)
        thing, memory = self._tracker.track(features, frame.number, memory, mask=mask)
        self._memories.put(frame.clip, memory)
        begun = torch.tensor([memory.begun], dtype=torch.int32)
        return {"logits": thing.logits, "presence": thing.presence, "begun": begun}

    def discard(self, clip: bytes) -> None:
        """Remove the memory of a clip, if there is one."""
        self._memories.discard(clip)

    def facts(self) -> dict[str, Any]:
        """Number and bytes of the clips, the idle timeout in seconds, and the most sightings of a clip."""
        return {**self._memories.facts(), "idle_seconds": IDLE, "most_sightings": MOST_SIGHTINGS}

    def _before(self, frame: fields.ClipFrame) -> Memory:
        """The memory of earlier frames; raises Refusal if it does not suffice for this frame."""
        memory = self._memories.get(frame.clip) or Memory()
        if frame.number < memory.latest:
            raise invalid(
                "frame",
                f"must not be before {memory.latest}, the latest frame so far; it is {frame.number}. "
                "To go back, begin another clip",
            )
        memory = memory.before(frame.number)
        if frame.mask is None and not memory.sightings:
            raise Refusal("UNKNOWN_CLIP", "there is no memory of this clip; begin again with a mask")
        if frame.mask is not None and len(memory.sightings) >= MOST_SIGHTINGS:
            raise invalid(
                "mask", f"came with {MOST_SIGHTINGS} frames already, which is the most a clip may have"
            )
        return memory

"""Clips that something is followed through, each remembered by its name from frame to frame."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from services.cache import ByteBudgetCache
from services.refusal import Refusal, invalid
from services.sam import fields
from services.sam.mask import squared
from services.sam.memory import Memory
from services.sam.picture_ref import Shown
from services.sam.sam2 import Prompt, Sam2
from services.sam.tracking import Follower

IDLE = 900.0  # seconds after which nobody follows a clip any more
MOST_SIGHTINGS = 32  # that the memory of a clip can hold


class Clips:
    """Many may be followed at a time, without a clip knowing of another. The one fields about longest ago
    is forgotten first when memory is short."""

    def __init__(
        self, network: Sam2, follower: Follower, *, budget_bytes: int, clock: Callable[[], float]
    ) -> None:
        self._network, self._follower = network, follower
        self._kept: ByteBudgetCache[Memory] = ByteBudgetCache(
            budget_bytes, lambda memory: memory.bytes, idle=IDLE, clock=clock
        )

    def look(self, frame: fields.Frame, picture: Shown) -> dict[str, Tensor]:
        """The thing in a frame, as `logits` and `presence`; `begun` is the frame that memory begins with."""
        memory = self._before(frame)
        mask = None
        if frame.mask is not None:
            fields.check_within(Prompt(mask=frame.mask), *picture.size(self._network))
            mask = squared(frame.mask, self._network.size)
        known = picture.known_to(self._network)
        thing, memory = self._follower.look(known, frame.number, memory, mask=mask)
        self._kept.put(frame.clip, memory)
        begun = torch.tensor([memory.begun], dtype=torch.int32)
        return {"logits": thing.logits, "presence": thing.presence, "begun": begun}

    def forget(self, clip: bytes) -> None:
        """Remembers a clip no longer, if it did."""
        self._kept.discard(clip)

    def facts(self) -> dict[str, Any]:
        """How many are followed, for how many seconds one is remembered that nobody asks about, and how many
        sightings it may have."""
        return {**self._kept.facts(), "idle_seconds": IDLE, "most_sightings": MOST_SIGHTINGS}

    def _before(self, frame: fields.Frame) -> Memory:
        """What is remembered from earlier frames, if it is enough for this one."""
        memory = self._kept.get(frame.clip) or Memory()
        if frame.number < memory.latest:
            raise invalid(
                "frame",
                f"must not be before {memory.latest}, which was fields about last; it is {frame.number}. "
                "To go back, begin another clip",
            )
        memory = memory.before(frame.number)
        if frame.mask is None and not memory.sightings:
            raise Refusal("UNKNOWN_CLIP", "memory of this clip is not kept here; begin again with a mask")
        if frame.mask is not None and len(memory.sightings) >= MOST_SIGHTINGS:
            raise invalid("mask", f"came with {MOST_SIGHTINGS} frames already; no more are remembered")
        return memory

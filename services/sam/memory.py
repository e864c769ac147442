"""The memory of a tracked clip: all that later frames can attend to, of bounded size."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class FrameMemory:
    """The memory of one frame. `map` (1, channels, h, w) encodes the thing in its place; None when only the
    `pointer` (1, channels), which encodes the thing alone, can still be attended to."""

    map: Tensor | None
    pointer: Tensor

    @property
    def bytes(self) -> int:
        parts = (self.pointer,) if self.map is None else (self.map, self.pointer)
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True)
class AttentionWindow:
    """The frames that SAM 2 attends to: the map of the frame just before and `maps` - 2 others, of every
    `stride`-th frame; the pointers of `pointers` frames, the current one included; and the nearest
    `sightings`, or all of them (None). A sighting removes the memories of `corrected` frames before it: later
    frames would repeat a mistake from their maps."""

    maps: int
    stride: int
    pointers: int
    sightings: int | None
    corrected: int = 0

    @classmethod
    def of(cls, network: Any) -> AttentionWindow:
        """The window of a network's config."""
        most = network.max_cond_frames_in_attn
        return cls(
            maps=network.num_maskmem,
            stride=network.memory_temporal_stride_for_eval,
            pointers=network.max_obj_ptrs_in_encoder,
            sightings=None if most == -1 else most,
            corrected=network.num_maskmem * network.memory_temporal_stride_for_eval,
        )

    def attends_to_map(self, earlier: int, frame: int) -> bool:
        """True if the map of an earlier frame can be attended to from `frame` or from a later one."""
        if earlier >= frame - 1:
            return True
        furthest = ((frame - 2) // self.stride - (self.maps - 3)) * self.stride
        return earlier % self.stride == 0 and earlier >= furthest

    def attends_to(self, earlier: int, frame: int) -> bool:
        """True if the map or the pointer of an earlier frame can be attended to."""
        return self.attends_to_map(earlier, frame) or earlier > frame - self.pointers


@dataclass(frozen=True)
class Memory:
    """The memory of one clip from frame `begun` to frame `latest`. In `sightings` a mask was given; in
    `others` the thing was found. Both by rising frame number."""

    begun: int = -1
    latest: int = -1
    sightings: Mapping[int, FrameMemory] = field(default_factory=dict)
    others: Mapping[int, FrameMemory] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(frame_memory.bytes for frame_memory in (*self.sightings.values(), *self.others.values()))

    def before(self, frame: int) -> Memory:
        """The memory of the frames before `frame`: an answer depends on earlier frames only, so a repeated
        request for the latest frame gets the same answer."""
        if frame <= self.begun:
            return Memory()
        sightings, others = (
            {number: frame_memory for number, frame_memory in some.items() if number < frame}
            for some in (self.sightings, self.others)
        )
        return replace(self, sightings=sightings, others=others)

    def with_frame(
        self, frame: int, frame_memory: FrameMemory, *, sighting: bool, window: AttentionWindow
    ) -> Memory:
        """The memory with one more frame, without what a sighting corrects and what can no longer be attended
        to, neither from later frames nor from this one, if it is requested again."""
        begun = frame if self.begun < 0 else self.begun
        numbers = list(self.sightings)
        # One more than are attended to, because sam2 itself selects the nearest in its own order.
        nearest = numbers if window.sightings is None else numbers[-window.sightings - 1 :]
        sightings = {
            number: each
            for number, each in self.sightings.items()
            if number in nearest or window.attends_to(number, frame)
        }
        others = {
            number: each if window.attends_to_map(number, frame) else replace(each, map=None)
            for number, each in self.others.items()
            if window.attends_to(number, frame) and not (sighting and number >= frame - window.corrected)
        }
        (sightings if sighting else others)[frame] = frame_memory
        return Memory(begun, frame, sightings, others)

"""What is remembered of a clip: enough for every frame to come, however many there have been."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from torch import Tensor


@dataclass(frozen=True)
class Impression:
    """What a frame left behind. `map` (1, channels, h, w) shows the thing where it was; None when only the
    `pointer` (1, channels), the thing by itself, can still be attended to."""

    map: Tensor | None
    pointer: Tensor

    @property
    def bytes(self) -> int:
        parts = (self.pointer,) if self.map is None else (self.map, self.pointer)
        return sum(part.numel() * part.element_size() for part in parts)


@dataclass(frozen=True)
class Reach:
    """How far back SAM 2 attends: to the map of the frame just before and to `maps` - 2 others, of every
    `stride`-th frame; to the `pointers` of as many frames, the one it looks at included; and to the
    `sightings` that are nearest, or to all of them (None). A sighting corrects what was found in as many
    frames before it as are in `doubt`: later ones would learn the mistake again from their maps."""

    maps: int
    stride: int
    pointers: int
    sightings: int | None
    doubt: int = 0

    @classmethod
    def of(cls, network: Any) -> Reach:
        """What a network's config says."""
        most = network.max_cond_frames_in_attn
        return cls(
            maps=network.num_maskmem,
            stride=network.memory_temporal_stride_for_eval,
            pointers=network.max_obj_ptrs_in_encoder,
            sightings=None if most == -1 else most,
            doubt=network.num_maskmem * network.memory_temporal_stride_for_eval,
        )

    def map_counts(self, earlier: int, frame: int) -> bool:
        """Whether the map of an earlier frame can be attended to from `frame` or from one after it."""
        if earlier >= frame - 1:
            return True
        furthest = ((frame - 2) // self.stride - (self.maps - 3)) * self.stride
        return earlier % self.stride == 0 and earlier >= furthest

    def counts(self, earlier: int, frame: int) -> bool:
        """Whether anything of an earlier frame can be."""
        return self.map_counts(earlier, frame) or earlier > frame - self.pointers


@dataclass(frozen=True)
class Memory:
    """Of one clip, up to its `latest` frame; it began with frame `begun`. `sightings` are frames in which
    somebody said where the thing is; in `others` it was found. Both by rising number."""

    begun: int = -1
    latest: int = -1
    sightings: Mapping[int, Impression] = field(default_factory=dict)
    others: Mapping[int, Impression] = field(default_factory=dict)

    @property
    def bytes(self) -> int:
        return sum(impression.bytes for impression in (*self.sightings.values(), *self.others.values()))

    def before(self, frame: int) -> Memory:
        """As it was when `frame` was asked about first: an answer depends on earlier frames alone, so that
        asking about the latest once more changes nothing."""
        if frame <= self.begun:
            return Memory()
        sightings, others = (
            {number: impression for number, impression in some.items() if number < frame}
            for some in (self.sightings, self.others)
        )
        return replace(self, sightings=sightings, others=others)

    def and_then(self, frame: int, impression: Impression, *, sighting: bool, reach: Reach) -> Memory:
        """With one more frame, and without what a sighting corrects, and what can no more be attended to:
        neither from frames to come, nor from this one, if it is asked about again."""
        begun = frame if self.begun < 0 else self.begun
        numbers = list(self.sightings)
        # One more than are attended to, so that sam2 chooses among them in the order that it has for all.
        nearest = numbers if reach.sightings is None else numbers[-reach.sightings - 1 :]
        sightings = {
            number: each
            for number, each in self.sightings.items()
            if number in nearest or reach.counts(number, frame)
        }
        others = {
            number: each if reach.map_counts(number, frame) else replace(each, map=None)
            for number, each in self.others.items()
            if reach.counts(number, frame) and not (sighting and number >= frame - reach.doubt)
        }
        (sightings if sighting else others)[frame] = impression
        return Memory(begun, frame, sightings, others)

"""Addresses: where a sample lives, and the only source of chance in the world.

A sample is a function of its address and of nothing else. The split is part of the key every draw
comes from, and the address is the seed of the ground a scene stands on, so samples of different splits
cannot be the same sample: there is no seed one could set that makes them meet.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "watch", "test")  # learnt from; looked at while learning; measured once for the cards
_WORLD = 0x1A7A251A


@dataclass(frozen=True)
class Address:
    """One sample: the split it belongs to, the stream of samples, its index in that stream (>= 0)."""

    split: str
    stream: str
    index: int

    def __post_init__(self):
        if self.split not in SPLITS:
            raise ValueError(f"no split named {self.split!r}; there are {', '.join(SPLITS)}")
        if self.index < 0:
            raise ValueError(f"an index counts from 0, not {self.index}")

    @property
    def key(self) -> tuple[int, int, int]:
        return SPLITS.index(self.split), zlib.crc32(self.stream.encode()), self.index

    def dice(self, use: str = "") -> np.random.Generator:
        """Fresh dice for one use of this sample. Equal calls give dice that fall equally."""
        spawn = (*self.key, zlib.crc32(use.encode()))
        return np.random.default_rng(np.random.SeedSequence(_WORLD, spawn_key=spawn))

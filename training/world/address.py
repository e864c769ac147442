"""Addresses of samples, and the only source of randomness in the world.

A sample is a function of its address and of nothing else. The split is part of the key of every
generator, so no sample can be in two splits.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np

SPLITS = ("train", "validation", "test")  # trained on; measured during training; measured for the cards
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

    def rng(self, use: str = "") -> np.random.Generator:
        """A new random generator for one use of this sample; equal calls return equal generators."""
        spawn = (*self.key, zlib.crc32(use.encode()))
        return np.random.default_rng(np.random.SeedSequence(_WORLD, spawn_key=spawn))

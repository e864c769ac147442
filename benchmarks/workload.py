"""Seeded loads: the same seed gives the same work at the same times, on every machine."""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

_COLOURS = ("red", "green", "blue", "yellow", "orange", "purple", "pink", "white", "black")
_SHAPES = ("circle", "square", "triangle", "star", "ring", "cross", "heart")


@dataclass(frozen=True)
class RegionEdit:
    """A square region of a picture, in pixels, and its instruction."""

    left: int
    top: int
    side: int
    instruction: str
    seed: int

    @property
    def box(self) -> tuple[int, int, int, int]:
        """The region's left, top, right and bottom."""
        return self.left, self.top, self.left + self.side, self.top + self.side


def picture(width: int, height: int, seed: int) -> np.ndarray:
    """A picture of soft spots, uint8 (height, width, 3): compresses like a photograph without noise."""
    rng = np.random.default_rng((seed, 1))
    coarse = rng.integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels: np.ndarray) -> bytes:
    """Encodes a picture as PNG."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def pixels(file: bytes) -> np.ndarray:
    """Decodes a picture's file: uint8 (height, width, 3), of a mask (height, width)."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened)


def edits(width: int, height: int, sides: tuple[int, ...], seed: int) -> Iterator[RegionEdit]:
    """Yields edits without end. No two have the same instruction and region, so that no cache helps."""
    rng = np.random.default_rng((seed, 2))
    number = 0
    while True:
        side = int(rng.choice(sides))
        yield RegionEdit(
            left=int(rng.integers(0, width - side + 1)),
            top=int(rng.integers(0, height - side + 1)),
            side=side,
            instruction=f"make the {rng.choice(_SHAPES)} {rng.choice(_COLOURS)} {number}",
            seed=int(rng.integers(0, 2**31)),
        )
        number += 1


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of arrival of independent users in [0, seconds), `rate` per second."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"a rate of {rate} over {seconds} s has no arrivals; both must be above 0")
    rng = np.random.default_rng((seed, 3))
    times: list[float] = []
    now = float(rng.exponential(1 / rate))
    while now < seconds:
        times.append(now)
        now += float(rng.exponential(1 / rate))
    return times


def trace(file: Path) -> list[float]:
    """Reads times of arrival from a file: one pause per line, in microseconds, as for perf_analyzer."""
    times, now = [], 0.0
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            pause = float(line)
        except ValueError:
            raise ValueError(f"{file}:{number}: {line!r} is not a number of microseconds") from None
        if not 0 <= pause < float("inf"):
            raise ValueError(f"{file}:{number}: a pause of {line} microseconds is not valid")
        now += pause / 1e6
        times.append(now)
    if not times:
        raise ValueError(f"{file} has no line")
    return times

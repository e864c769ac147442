"""Seeded loads: the same seed asks for the same work at the same times, on every machine."""

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
class Edit:
    """A square region of a picture, in pixels, and what to do there."""

    left: int
    top: int
    side: int
    instruction: str
    seed: int


def picture(width: int, height: int, seed: int) -> np.ndarray:
    """Soft blotches, uint8 (height, width, 3): as hard to compress as a photograph without noise."""
    dice = np.random.default_rng((seed, 1))
    coarse = dice.integers(0, 256, (-(-height // 16), -(-width // 16), 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC))


def png(pixels: np.ndarray) -> bytes:
    """A picture as a file."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG", compress_level=1)
    return file.getvalue()


def pixels(file: bytes) -> np.ndarray:
    """What a picture's file shows: uint8 (height, width, 3), of a mask (height, width)."""
    with Image.open(io.BytesIO(file)) as opened:
        return np.asarray(opened)


def edits(width: int, height: int, sides: tuple[int, ...], seed: int) -> Iterator[Edit]:
    """Edits without end. No two have the same words and place, so that nothing can be remembered."""
    dice = np.random.default_rng((seed, 2))
    number = 0
    while True:
        side = int(dice.choice(sides))
        yield Edit(
            left=int(dice.integers(0, width - side + 1)),
            top=int(dice.integers(0, height - side + 1)),
            side=side,
            instruction=f"make the {dice.choice(_SHAPES)} {dice.choice(_COLOURS)} {number}",
            seed=int(dice.integers(0, 2**31)),
        )
        number += 1


def poisson(rate: float, seconds: float, seed: int) -> list[float]:
    """Times of arrival in [0, seconds) of users who know nothing of each other, `rate` a second."""
    if rate <= 0 or seconds <= 0:
        raise ValueError(f"a rate of {rate} over {seconds} s brings nobody; both must be above 0")
    dice = np.random.default_rng((seed, 3))
    times: list[float] = []
    now = float(dice.exponential(1 / rate))
    while now < seconds:
        times.append(now)
        now += float(dice.exponential(1 / rate))
    return times


def trace(file: Path) -> list[float]:
    """Times of arrival out of a recording: one pause a line, in microseconds, as perf_analyzer reads it."""
    times, now = [], 0.0
    for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1):
        try:
            pause = float(line)
        except ValueError:
            raise ValueError(f"{file}:{number}: {line!r} is no number of microseconds") from None
        if not 0 <= pause < float("inf"):
            raise ValueError(f"{file}:{number}: a pause of {line} microseconds cannot be")
        now += pause / 1e6
        times.append(now)
    if not times:
        raise ValueError(f"{file} holds no pause")
    return times

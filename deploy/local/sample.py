"""Draws a sample picture and a sample clip: shapes on a plain background."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np

from training.world.address import Address
from training.world.scene import Scene, draw
from training.world.thing import Thing

WIDTH, HEIGHT = 480, 320
FRAMES, RATE = 36, 12


def _thing(shape: str, colour: str, x: float, y: float, radius: float, turn: float = 0.0) -> Thing:
    return Thing(
        shape=shape,
        colour=colour,
        x=x,
        y=y,
        radius=radius,
        turn=turn,
        hue_shift=0.0,
        saturation=0.85,
        brightness=0.85,
        light=0.8,
        shade=0.25,
        mottle=3,
    )


CIRCLE = _thing("circle", "red", 112, 118, 40)
STAR = _thing("star", "yellow", 322, 204, 38, turn=0.2)
OTHERS = (
    _thing("square", "green", 236, 86, 32, turn=0.3),
    _thing("heart", "purple", 404, 92, 34),
    _thing("triangle", "blue", 182, 236, 34, turn=-0.2),
)


def sample() -> np.ndarray:
    """The picture, uint8 (320, 480, 3)."""
    address = Address("test", "sample", 3)
    return draw(Scene(address, (*OTHERS, STAR, CIRCLE), HEIGHT, WIDTH)).pixels


# In the clip a heart moves through the picture and passes behind the square.
HEART = _thing("heart", "pink", 60, 150, 30)
_STILL = (
    _thing("circle", "red", 86, 254, 34),
    _thing("triangle", "blue", 400, 256, 38, turn=-0.2),
    _thing("star", "yellow", 356, 66, 32, turn=0.2),
)
_SQUARE = _thing("square", "green", 236, 160, 46, turn=0.1)


def sample_clip(file: Path) -> None:
    """Writes the clip, 36 frames of 480 x 320, as MP4."""
    address = Address("test", "sample clip", 0)
    with av.open(str(file), "w", format="mp4") as container:
        stream: Any = container.add_stream("libx264", rate=RATE, options={"crf": "12"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(FRAMES):
            heart = _heart(number / (FRAMES - 1))
            picture = draw(Scene(address, (heart, *_STILL, _SQUARE), HEIGHT, WIDTH))
            frame = av.VideoFrame.from_ndarray(picture.pixels, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))


def _heart(share: float) -> Thing:
    """The heart after a share of its path, in [0, 1]."""
    x, y = 60 + 360 * share, 150 + 26 * np.sin(2 * np.pi * share)
    return replace(HEART, x=x, y=y, turn=0.5 * np.sin(6 * share))

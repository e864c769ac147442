"""A picture to try things on, drawn rather than shipped: shapes on a quiet ground."""

from __future__ import annotations

import numpy as np

from weights.world.address import Address
from weights.world.scene import Scene, draw
from weights.world.thing import Thing

WIDTH, HEIGHT = 480, 320


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
    address = Address("test", "sample", 0)
    return draw(Scene(address, (*OTHERS, STAR, CIRCLE), HEIGHT, WIDTH)).pixels

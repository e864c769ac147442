"""Writes a folder of pictures with masks, some of them damaged in different ways."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from benchmarks import workload

# Kinds of damage: functions from the files of a picture and its mask to the damaged files.
WAYS: Mapping[str, Callable[[bytes, bytes], tuple[bytes, bytes]]] = {
    "an empty file": lambda picture, mask: (b"", mask),
    "a text named as a picture": lambda picture, mask: (b"not a picture at all\n", mask),
    "a picture that was cut off": lambda picture, mask: (picture[: len(picture) // 2], mask),
    "a mask of another size": lambda picture, mask: (picture, _mask(24, 16, 8)),
    "a mask that selects nothing": lambda picture, mask: (picture, _mask(*_size(mask), 0)),
    "a picture of another kind": lambda picture, mask: (b"GIF89a" + picture[6:], mask),
    "more pixels than the limit": lambda picture, mask: (_sized(picture, 60000), mask),
    "a mask that was cut off": lambda picture, mask: (picture, mask[: len(mask) * 2 // 3]),
    "a mask that is an empty file": lambda picture, mask: (picture, b""),
    "a header without pixels": lambda picture, mask: (picture[:33], mask),
}


def write(root: Path, *, count: int, broken: int, side: int, seed: int) -> dict[str, str]:
    """Writes `imgs` and `masks`, PNG files of `side` pixels in folders; returns the kinds of damage by item.

    An item's name is its path without the suffix. Damaged items are spread evenly among the others.
    """
    ways, every = {}, count / broken if broken else 0.0
    damaged = {int((number + 0.5) * every): number for number in range(broken)}
    for number in range(count):
        name = f"{number % 8}/{number:04}"
        picture = workload.png(workload.picture(side, side, seed + number))
        mask = _mask(side, side, min(side // 3, 64))
        if number in damaged:
            ways[name] = list(WAYS)[damaged[number] % len(WAYS)]
            picture, mask = WAYS[ways[name]](picture, mask)
        for folder, content in (("imgs", picture), ("masks", mask)):
            file = root / folder / f"{name}.png"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(content)
    return ways


def _mask(width: int, height: int, side: int) -> bytes:
    """A white square in the middle of black, as a PNG."""
    grey = np.zeros((height, width), np.uint8)
    top, left = (height - side) // 2, (width - side) // 2
    grey[top : top + side, left : left + side] = 255
    return workload.png(grey)


def _size(png: bytes) -> tuple[int, int]:
    """Width and height from a PNG's first chunk."""
    width, height = struct.unpack(">II", png[16:24])
    return width, height


def _sized(png: bytes, side: int) -> bytes:
    """The same file with a header that says `side` x `side` pixels."""
    head = png[12:16] + struct.pack(">II", side, side) + png[24:29]
    return png[:12] + head + struct.pack(">I", zlib.crc32(head)) + png[33:]

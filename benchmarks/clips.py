"""Encodes and decodes clips in memory, without loss."""

from __future__ import annotations

import io
from fractions import Fraction
from typing import Any

import av
import numpy as np

RATE = 12


def encode(pictures: np.ndarray) -> bytes:
    """Encodes frames, uint8 (frames, height, width, RGB), as FFV1 in Matroska."""
    data = io.BytesIO()
    with av.open(data, "w", format="matroska") as container:
        stream: Any = container.add_stream("ffv1", rate=RATE)
        stream.height, stream.width = pictures.shape[1:3]
        stream.pix_fmt = "bgr0"
        for number, picture in enumerate(pictures):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24").reformat(format="bgr0")
            frame.pts, frame.time_base = number, Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return data.getvalue()


def decode(data: bytes) -> np.ndarray:
    """Decodes a grey clip to levels, uint8 (frames, height, width)."""
    with av.open(io.BytesIO(data), "r") as container:
        return np.stack([frame.to_ndarray(format="gray") for frame in container.decode(video=0)])

"""Clips for tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

_UPRIGHT = (65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)


def drawn(number: int, width: int = 96, height: int = 64) -> np.ndarray:
    """A frame that tells its number by how far a bright bar has come down; its top left corner is red."""
    frame = np.full((height, width, 3), 40, np.uint8)
    frame[number % height] = 220
    frame[: height // 4, : width // 4] = (255, 0, 0)
    return frame


def written(
    path: Path,
    frames: Iterable[np.ndarray],
    *,
    codec: str = "libx264",
    pixel_format: str = "yuv420p",
    rate: int = 30,
    times: Sequence[int] | None = None,
    time_base: Fraction | None = None,
    container: str | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    **stream: object,
) -> Path:
    """A video file of RGB frames (height, width, 3), at a steady rate or at `times`, in `time_base`."""
    base = time_base or Fraction(1, rate)
    with av.open(str(path), "w", format=container, container_options=muxing or {}) as file:
        video = None
        for number, pixels in enumerate(frames):
            if video is None:
                height, width = pixels.shape[:2]
                video = file.add_stream(codec, rate=rate, options=options or {}, width=width, height=height)
                video.pix_fmt = pixel_format
                video.codec_context.time_base = base
                for name, value in stream.items():
                    setattr(video.codec_context, name, value)
            frame = av.VideoFrame.from_ndarray(pixels, "rgb24")
            frame.pts, frame.time_base = number if times is None else times[number], base
            file.mux(video.encode(frame))
        assert video is not None
        file.mux(video.encode(None))
    return path


def simple(path: Path, count: int = 20, **how: object) -> Path:
    """A clip of drawn frames."""
    return written(path, (drawn(number) for number in range(count)), **how)


def turned(path: Path, a: int, b: int, c: int, d: int) -> Path:
    """Says in an MP4 that x and y are shown at a x + c y and b x + d y."""
    data = bytearray(path.read_bytes())
    at = data.index(struct.pack(">9i", *_UPRIGHT), data.index(b"tkhd"))
    data[at : at + 36] = struct.pack(">9i", a << 16, b << 16, 0, c << 16, d << 16, 0, 0, 0, 1 << 30)
    path.write_bytes(data)
    return path


def cut(path: Path, share: float) -> Path:
    """The first share of a file."""
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * share)])
    return path

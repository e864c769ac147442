"""Writes clips frame by frame: masks without loss, colours as H.264, which every player plays, or as VP9."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter

from intarsia.errors import InternalError

# Matroska counts in milliseconds.
_MILLISECOND = Fraction(1, 1000)
# Every frame is a key frame, written with FFV1's fastest settings.
_FFV1 = {"level": "3", "g": "1", "slicecrc": "1", "coder": "1", "context": "0"}
# FFV1 cuts frames into slices, by default at least two side by side: too many for one column.
_NARROW = _FFV1 | {"slices": "1"}
LARGEST_SIDE = 16384  # of frames that x264 accepts
# Encoders of colour clips, by FFmpeg's names, and their settings. x264 is under the GPL, libvpx is not.
ENCODERS: dict[str, dict[str, str]] = {
    # x264's macroblock tree gives other bytes in other runs: its fast code rounds by where arrays lie.
    "libx264": {"crf": "18", "preset": "veryfast", "x264-params": "mbtree=0"},
    "libvpx-vp9": {"crf": "20", "b": "0", "deadline": "realtime", "cpu-used": "5"},
}
# Without dates and random ids, the same frames give the same bytes.
_MATROSKA = {"fflags": "+bitexact"}
# The index comes first, so that players can start before the file is complete.
_MP4 = {"fflags": "+bitexact", "movflags": "+faststart"}


@dataclass
class ClipWriter:
    """Writes the frames of a clip one by one. Only those that the encoder needs are in memory.

    `frames` is the number of frames so far.
    """

    _container: Any
    _stream: Any
    _time_base: Fraction
    _convert: Callable[[np.ndarray], VideoFrame]
    frames: int = 0

    def write(self, pixels: np.ndarray, time: Fraction) -> None:
        """Writes the next frame; `time` is its display time in seconds. Times must rise."""
        size = (self._stream.height, self._stream.width)
        if pixels.shape[:2] != size:
            raise InternalError(f"frame {self.frames} is {pixels.shape[:2]}, the clip {size}")
        frame = self._convert(pixels)
        # Rounded down, so that beside another clip a frame is never late.
        frame.pts, frame.time_base = time // self._time_base, self._time_base
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def end(self) -> None:
        """Writes the frames that the encoder still holds."""
        if self.frames == 0:
            raise InternalError("a clip without frames")
        self._container.mux(self._stream.encode(None))


@contextmanager
def mask_clip(path: Path, width: int, height: int, *, rate: Fraction) -> Iterator[ClipWriter]:
    """Writes grey frames, uint8 (height, width), as FFV1 in Matroska, without loss.

    Times are rounded down to milliseconds. `rate` is the average in frames per second, a hint for players.
    """

    def convert(pixels: np.ndarray) -> VideoFrame:
        return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "gray")

    kind = {
        "codec_name": "ffv1",
        "options": _NARROW if width == 1 else _FFV1,
        "pix_fmt": "gray",
        "color_range": ColorRange.JPEG,
    }
    form = {**kind, "width": width, "height": height, "rate": rate, "time_base": _MILLISECOND}
    with _clip(path, "matroska", _MATROSKA, form, convert) as writer:
        yield writer


@contextmanager
def colour_clip(
    path: Path,
    width: int,
    height: int,
    *,
    rate: Fraction,
    time_base: Fraction,
    encoder: str = "libx264",
) -> Iterator[ClipWriter]:
    """Writes RGB frames, uint8 (height, width, 3), in MP4, by one of `ENCODERS`.

    Times are rounded down to multiples of `time_base`, in seconds, and must rise by at least that. Colours
    have half the resolution, as usual. If a side is odd, that is impossible: then colours have the full
    resolution, and not every player plays the file.
    """
    pixel_format = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    reformatter = VideoReformatter()

    def convert(pixels: np.ndarray) -> VideoFrame:
        return reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"),
            format=pixel_format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    kind = {
        "codec_name": encoder,
        "options": ENCODERS[encoder],
        "pix_fmt": pixel_format,
        "color_range": ColorRange.MPEG,
    }
    kind |= {
        "colorspace": Colorspace.ITU709,
        "color_trc": ColorTrc.BT709,
        "color_primaries": ColorPrimaries.BT709,
    }
    form = {**kind, "width": width, "height": height, "rate": rate, "time_base": time_base}
    with _clip(path, "mp4", _MP4, form, convert) as writer:
        yield writer


@contextmanager
def _clip(
    path: Path,
    container: str,
    muxing: dict[str, str],
    form: dict[str, Any],
    convert: Callable[[np.ndarray], VideoFrame],
) -> Iterator[ClipWriter]:
    """A file of one stream with these properties. After an error it stays incomplete."""
    with av.open(f"file:{path}", "w", format=container, container_options=muxing) as file:
        writer = ClipWriter(file, file.add_stream(**form), form["time_base"], convert)
        yield writer
        writer.end()
    # A full disk shows nowhere else.
    if (present := _frames_in(path)) != writer.frames:
        raise InternalError(f"{writer.frames} frames were written to a clip, {present} are in the file")


def _frames_in(path: Path) -> int:
    with av.open(f"file:{path}") as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)

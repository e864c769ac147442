"""Writing clips frame by frame: masks without loss, colours as what every player plays."""

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
# Every frame stands alone, and is written by FFV1's quickest settings.
_FFV1 = {"level": "3", "g": "1", "slicecrc": "1", "coder": "1", "context": "0"}
# FFV1 cuts frames into slices, at least two beside each other, unless it is told not to.
_NARROW = _FFV1 | {"slices": "1"}
LARGEST_SIDE = 16384  # of what x264 takes
_H264 = {"crf": "18", "preset": "veryfast"}
# Without dates and random names, the same frames make the same bytes.
_MATROSKA = {"fflags": "+bitexact"}
# The table of contents comes first, so that players can begin before they have everything.
_MP4 = {"fflags": "+bitexact", "movflags": "+faststart"}


@dataclass
class ClipWriter:
    """Takes the frames of a clip as they come. No more are there at a time than the encoder looks at.

    `frames` is how many there have been.
    """

    _container: Any
    _stream: Any
    _time_base: Fraction
    _converted: Callable[[np.ndarray], VideoFrame]
    frames: int = 0

    def write(self, pixels: np.ndarray, time: Fraction) -> None:
        """The next frame, and when it is shown, in seconds. Times rise."""
        size = (self._stream.height, self._stream.width)
        if pixels.shape[:2] != size:
            raise InternalError(f"frame {self.frames} is {pixels.shape[:2]}, the clip {size}")
        frame = self._converted(pixels)
        # Rounded down: laid over another clip by time, a frame is never late.
        frame.pts, frame.time_base = time // self._time_base, self._time_base
        self._container.mux(self._stream.encode(frame))
        self.frames += 1

    def end(self) -> None:
        """Writes what the encoder still has."""
        if self.frames == 0:
            raise InternalError("a clip without frames")
        self._container.mux(self._stream.encode(None))


@contextmanager
def mask_clip(path: Path, width: int, height: int, *, rate: Fraction) -> Iterator[ClipWriter]:
    """Writes grey frames, uint8 (height, width), as FFV1 in Matroska: every level comes back as it was.

    Times are kept to the millisecond, rounded down. `rate` is the average in frames a second, a mere hint.
    """

    def converted(pixels: np.ndarray) -> VideoFrame:
        return VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "gray")

    kind = {
        "codec_name": "ffv1",
        "options": _NARROW if width == 1 else _FFV1,
        "pix_fmt": "gray",
        "color_range": ColorRange.JPEG,
    }
    form = {**kind, "width": width, "height": height, "rate": rate, "time_base": _MILLISECOND}
    with _clip(path, "matroska", _MATROSKA, form, converted) as writer:
        yield writer


@contextmanager
def colour_clip(
    path: Path, width: int, height: int, *, rate: Fraction, time_base: Fraction
) -> Iterator[ClipWriter]:
    """Writes RGB frames, uint8 (height, width, 3), as H.264 in MP4.

    Times are kept to `time_base`, in seconds, rounded down; they rise by at least that. Colours are kept at
    half the resolution, as usual. Where a side is odd that cannot be: then they are kept at the whole, and
    not every player plays what is written.
    """
    pixel_format = "yuv444p" if width % 2 or height % 2 else "yuv420p"
    reformatter = VideoReformatter()

    def converted(pixels: np.ndarray) -> VideoFrame:
        return reformatter.reformat(
            VideoFrame.from_ndarray(np.ascontiguousarray(pixels), "rgb24"),
            format=pixel_format,
            dst_colorspace=Colorspace.ITU709,
            src_color_range=ColorRange.JPEG,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )

    kind = {
        "codec_name": "libx264",
        "options": _H264,
        "pix_fmt": pixel_format,
        "color_range": ColorRange.MPEG,
    }
    kind |= {
        "colorspace": Colorspace.ITU709,
        "color_trc": ColorTrc.BT709,
        "color_primaries": ColorPrimaries.BT709,
    }
    form = {**kind, "width": width, "height": height, "rate": rate, "time_base": time_base}
    with _clip(path, "mp4", _MP4, form, converted) as writer:
        yield writer


@contextmanager
def _clip(
    path: Path,
    container: str,
    muxing: dict[str, str],
    form: dict[str, Any],
    converted: Callable[[np.ndarray], VideoFrame],
) -> Iterator[ClipWriter]:
    """A file of one stream, in this form. Left by an error it stays unfinished."""
    with av.open(f"file:{path}", "w", format=container, container_options=muxing) as file:
        writer = ClipWriter(file, file.add_stream(**form), form["time_base"], converted)
        yield writer
        writer.end()
    # What the disk did not take shows nowhere else.
    if (found := _frames_in(path)) != writer.frames:
        raise InternalError(f"{writer.frames} frames were written to a clip, {found} are there")


def _frames_in(path: Path) -> int:
    with av.open(f"file:{path}") as container:
        return sum(1 for packet in container.demux(video=0) if packet.size)

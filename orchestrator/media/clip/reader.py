"""Reading clips: video files, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame

from intarsia.errors import Busy, InvalidRequest
from orchestrator.media.clip.frame import FramePixels
from orchestrator.media.clip.timeline import Timeline
from orchestrator.media.clip.truncation import check_whole
from orchestrator.media.picture.picture import USUAL, Limits, check_size
from store.media_type import OPENING, recognise

# What is read, and libav's word for it. Guessing is not left to libav: some of what it knows are playlists,
# which name other files.
_FORMATS = {
    "video/mp4": "mov",
    "video/quicktime": "mov",
    "video/x-matroska": "matroska",
    "video/webm": "matroska",
    "video/x-msvideo": "avi",
    "video/mp2t": "mpegts",
    "video/mpeg": "mpeg",
    "image/gif": "gif",
}
_READ = "MP4, MOV, Matroska, WebM, AVI, MPEG or GIF"
# A recording of a broadcast begins at any frame, also at one that only makes sense after others.
_BROADCASTS = ("mpegts", "mpeg")
# Has a rate and no times: what libav takes for times is the order of decoding.
_TIMELESS = "avi"
_USUAL_RATE = Fraction(25)
# Streams of these are covers and the like.
_STILL = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame: its number from 0, seconds from the first one, and RGB uint8 (height, width, 3), upright."""

    number: int
    time: Fraction
    pixels: np.ndarray


@contextmanager
def open_clip(path: Path, limits: Limits = USUAL, *, field: str = "clip") -> Iterator[Clip]:
    """Opens a video file, whatever its length. The limits are those of a single frame.

    Whatever is wrong with the file raises `InvalidRequest` for `field`, here or at the frame where it shows.
    What was cut off is told as far as it can be known; pictures that are wrong but can be decoded are not.
    """
    kind = _kind_of(path, field)
    check_whole(path, kind, field)
    with _parsing("it cannot be opened", field):
        container = av.open(
            f"file:{path}",
            format=_FORMATS[kind],
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    with container:
        yield Clip(container, _FORMATS[kind], limits, field)


class Clip:
    """A clip that is being read. Iterated over, it gives its frames once, as a file gives its lines.

    One frame is there at a time, and what the decoder needs. `width` and `height` are those of every frame.
    `frames` is how many there are as far as the file tells, None if it does not: enough to show progress.
    `rate` is the average in frames a second; times are multiples of `time_base`, in seconds, unless they
    had to be made up.
    """

    def __init__(self, container: Any, format: str, limits: Limits, field: str) -> None:
        self._container, self._format, self._field = container, format, field
        self._stream, self._fixed_notes = _chosen(container, field)
        self._check_size(self._stream.codec_context, limits)
        # Frames that grow on the way are given up before they are in memory. Decoders count in blocks.
        self._stream.codec_context.options = {"max_pixels": str(int(limits.megapixels * 1.1e6) + (1 << 16))}
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or _USUAL_RATE)
        self.time_base = 1 / self.rate if format == _TIMELESS else Fraction(self._stream.time_base)
        self.frames = self._announced()
        self._timeline = Timeline(self.time_base, self.rate)
        self._number, self._skipped = 0, False
        decoded = self._decode()
        if (first := next(decoded, None)) is None:
            raise InvalidRequest(
                "the clip has no frame that can be decoded; save it anew as MP4", field=field
            )
        self._check_size(first, limits)
        self._pixels = FramePixels(first)
        self.width, self.height = self._pixels.width, self._pixels.height
        self._decoded = chain((first,), decoded)

    @property
    def notes(self) -> tuple[str, ...]:
        """What was converted, in plain words; some of it only shows on the way."""
        skipped = ["frames before the first whole one were left out"] if self._skipped else []
        return (*self._fixed_notes, *skipped, *self._pixels.notes(), *self._timeline.notes())

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._decoded:
            if not self._pixels.fits(frame):
                raise InvalidRequest(
                    f"frame {self._number} of the clip is {frame.width} x {frame.height} and those before it "
                    "are not; save the clip anew with all frames of one size",
                    field=self._field,
                )
            time = self._timeline.next(self._number if self._format == _TIMELESS else frame.pts)
            with _parsing(f"the colours of frame {self._number} are unknown here", self._field):
                pixels = self._pixels.of(frame)
            self._number += 1
            yield Frame(self._number - 1, time, pixels)

    def _decode(self) -> Iterator[VideoFrame]:
        """The frames as libav has them, in the order they are shown."""
        packets = self._container.demux(self._stream)
        begun = self._format not in _BROADCASTS
        while True:
            with _parsing(f"it is damaged at frame {self._number} or soon after", self._field):
                if (packet := next(packets, None)) is None:
                    return
                begun = begun or packet.is_keyframe
                frames = packet.decode() if begun else []
            self._skipped |= not begun
            for frame in frames:
                if frame.is_corrupt:
                    raise _unreadable(f"it is damaged at frame {self._number}", self._field)
                yield frame

    def _announced(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        if self._stream.duration:
            return round(self._stream.duration * Fraction(self._stream.time_base) * self.rate)
        if self._container.duration:
            return round(Fraction(self._container.duration, av.time_base) * self.rate)
        return None

    def _check_size(self, of: Any, limits: Limits) -> None:
        check_size(of.width, of.height, limits, self._field, what="a frame of the clip")


def _kind_of(path: Path, field: str) -> str:
    """The media type of a file, if it can be a clip."""
    with open(path, "rb") as file:
        opening = file.read(OPENING)
    kind = recognise(opening)
    if kind in _FORMATS:
        return kind
    if not opening:
        raise InvalidRequest("the clip is a file of 0 bytes", field=field)
    if kind.startswith("image/"):
        raise InvalidRequest(
            f"this is a picture ({kind}), not a clip; find a region in a picture with segment_region",
            field=field,
        )
    raise InvalidRequest(f"this is not a clip; send {_READ}", field=field)


def _chosen(container: Any, field: str) -> tuple[Any, list[str]]:
    """The stream that is read, and what is to be said about it."""
    found = [stream for stream in container.streams.video if not stream.disposition & _STILL]
    if not found:
        raise InvalidRequest("there is nothing to see in the clip, it has no video stream", field=field)
    stream = found[0]
    # Without one, PyAV crashes when it is asked to decode.
    if stream.codec_context is None:
        raise _unreadable("its video is coded in a way that is not known here", field)
    notes = []
    if len(found) > 1:
        notes.append(f"only the first of {len(found)} video streams is read")
    if (ratio := stream.sample_aspect_ratio) and ratio != 1:
        notes.append(
            f"pixels that are not square ({ratio.numerator}:{ratio.denominator}) are left as they are"
        )
    return stream, notes


@contextmanager
def _parsing(what: str, field: str) -> Iterator[None]:
    """What libav cannot do with a stranger's bytes is the bytes' fault."""
    try:
        yield
    except av.FFmpegError as error:  # even where libav has no memory: damaged files ask for absurd amounts
        raise _unreadable(f"{what} ({error.strerror})", field) from error
    except MemoryError as error:
        raise Busy("there is no memory for frames of this size now; try again later") from error


def _unreadable(what: str, field: str) -> InvalidRequest:
    return InvalidRequest(
        f"the clip cannot be read: {what}; send it again, or save it anew as MP4", field=field
    )

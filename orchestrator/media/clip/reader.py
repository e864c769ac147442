"""Reads clips: video files, frame by frame."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from itertools import chain
from math import inf
from pathlib import Path
from typing import Any

import av
import numpy as np
from av.stream import Disposition
from av.video.frame import VideoFrame

from intarsia.errors import Busy, InvalidRequest
from orchestrator.media.clip.frame import FramePixels
from orchestrator.media.clip.timeline import Timeline
from orchestrator.media.clip.truncation import check_complete
from orchestrator.media.picture.picture import DEFAULT_LIMITS, PictureLimits, check_size
from store.media_type import OPENING, recognise

# The media types that are read, and libav's names for them. libav must not guess: some formats it knows are
# playlists, which name other files.
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
# A recording of a broadcast may begin at any frame, even at one that cannot be decoded without earlier ones.
_BROADCASTS = ("mpegts", "mpeg")
# Has a frame rate and no times: the times libav reports are the order of decoding.
_TIMELESS = "avi"
_DEFAULT_RATE = Fraction(25)
# Frames that a decoder holds at most: those that others refer to, and those that wait for their turn; PyAV's
# threads work on parts of a frame, so they add none. Bytes of a pixel, where the format is unknown.
_FRAMES, _INTRA_FRAMES, _LARGEST_PIXEL, _BLOCK = 32, 4, 8, 64
# Bytes of a pixel of the frames that are converted, turned and read ahead; and what every decoder takes.
_CONVERTED, _FIXED = 16, 12 << 20
# Streams with these flags are covers and thumbnails.
_STILL = Disposition.attached_pic | Disposition.timed_thumbnails


@dataclass(frozen=True, eq=False)
class Frame:
    """A frame: its number from 0, seconds from the first one, and RGB uint8 (height, width, 3), upright."""

    number: int
    time: Fraction
    pixels: np.ndarray


@contextmanager
def open_clip(path: Path, limits: PictureLimits = DEFAULT_LIMITS, *, field: str = "clip") -> Iterator[Clip]:
    """Opens a video file of any length. The limits apply to a single frame.

    A damaged file raises `InvalidRequest` for `field`, here or at the frame where the damage shows. A file
    that was cut off is detected as far as its container allows; frames that decode to wrong pixels are not.
    """
    kind = _kind_of(path, field)
    check_complete(path, kind, field)
    with _container(path, kind, field) as container:
        yield Clip(container, _FORMATS[kind], limits, field)


@dataclass(frozen=True)
class ClipHeader:
    """What a clip announces: the size of its frames, 0 x 0 if it is unknown. `decoding`: the most bytes that
    reading frames of this size takes."""

    width: int
    height: int
    decoding: int

    @property
    def pixels(self) -> int:
        """The pixels of a frame."""
        return self.width * self.height


def read_clip_header(path: Path, *, field: str = "clip") -> ClipHeader:
    """Reads what a clip announces; no frame is read. Raises `InvalidRequest` if it is not a clip."""
    with _container(path, _kind_of(path, field), field) as container:
        codec = _choose_stream(container, field)[0].codec_context
        frame = codec.format.padded_bits_per_pixel / 8 if codec.format else _LARGEST_PIXEL
        held = _INTRA_FRAMES if codec.codec.intra_only else _FRAMES
        pixels = (codec.width + _BLOCK) * (codec.height + _BLOCK)
        return ClipHeader(codec.width, codec.height, _FIXED + int((held * frame + _CONVERTED) * pixels))


class Clip:
    """A clip that is being read. Iterating over it yields its frames, once.

    One frame is in memory at a time, and what the decoder needs. `width` and `height` are those of every
    frame. `frames` is their number according to the file, None if it has none: good enough for progress.
    `rate` is the average in frames per second; times are multiples of `time_base`, in seconds, unless they
    were missing and had to be computed.
    """

    def __init__(self, container: Any, format: str, limits: PictureLimits, field: str) -> None:
        self._container, self._format, self._field = container, format, field
        self._stream, self._fixed_notes = _choose_stream(container, field)
        self._check_size(self._stream.codec_context, limits)
        # Frames larger than announced are rejected before they are in memory. Decoders count in blocks.
        announced = self._stream.codec_context.width * self._stream.codec_context.height
        most = min(limits.megapixels * 1e6, announced or inf)
        self._stream.codec_context.options = {"max_pixels": str(int(1.1 * most) + (1 << 16))}
        self.rate = Fraction(self._stream.average_rate or self._stream.guessed_rate or _DEFAULT_RATE)
        self.time_base = 1 / self.rate if format == _TIMELESS else Fraction(self._stream.time_base)
        self.frames = self._frame_count()
        self._timeline = Timeline(self.time_base, self.rate)
        self._number, self._skipped = 0, False
        decoded = self._decode()
        if (first := next(decoded, None)) is None:
            raise InvalidRequest(
                "the clip has no frame that can be decoded; save it again as MP4", field=field
            )
        self._check_size(first, limits)
        self._pixels = FramePixels(first)
        self.width, self.height = self._pixels.width, self._pixels.height
        self._decoded = chain((first,), decoded)

    @property
    def notes(self) -> tuple[str, ...]:
        """Notes about what was converted, in plain words; complete once all frames are read."""
        skipped = ["frames before the first whole one were left out"] if self._skipped else []
        return (*self._fixed_notes, *skipped, *self._pixels.notes(), *self._timeline.notes())

    def __iter__(self) -> Iterator[Frame]:
        for frame in self._decoded:
            if not self._pixels.fits(frame):
                raise InvalidRequest(
                    f"frame {self._number} of the clip is {frame.width} x {frame.height} and those before it "
                    "are not; save the clip again with all frames of one size",
                    field=self._field,
                )
            time = self._timeline.next(self._number if self._format == _TIMELESS else frame.pts)
            with _parsing(f"the colours of frame {self._number} are unknown here", self._field):
                pixels = self._pixels.of(frame)
            self._number += 1
            yield Frame(self._number - 1, time, pixels)

    def _decode(self) -> Iterator[VideoFrame]:
        """Yields libav's frames in display order."""
        packets = self._container.demux(self._stream)
        started = self._format not in _BROADCASTS
        while True:
            with _parsing(f"it is damaged at frame {self._number} or soon after", self._field):
                if (packet := next(packets, None)) is None:
                    return
                started = started or packet.is_keyframe
                frames = packet.decode() if started else []
            self._skipped |= not started
            for frame in frames:
                if frame.is_corrupt:
                    raise _unreadable(f"it is damaged at frame {self._number}", self._field)
                yield frame

    def _frame_count(self) -> int | None:
        if self._stream.frames:
            return int(self._stream.frames)
        if self._stream.duration:
            return round(self._stream.duration * Fraction(self._stream.time_base) * self.rate)
        if self._container.duration:
            return round(Fraction(self._container.duration, av.time_base) * self.rate)
        return None

    def _check_size(self, of: Any, limits: PictureLimits) -> None:
        check_size(of.width, of.height, limits, self._field, what="a frame of the clip")


@contextmanager
def _container(path: Path, kind: str, field: str) -> Iterator[Any]:
    """The opened container of a file of this media type."""
    with _parsing("it cannot be opened", field):
        container = av.open(
            f"file:{path}",
            format=_FORMATS[kind],
            options={"protocol_whitelist": "file"},
            metadata_errors="replace",
        )
    with container:
        yield container


def _kind_of(path: Path, field: str) -> str:
    """The media type of a file; raises `InvalidRequest` if it is not a clip."""
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


def _choose_stream(container: Any, field: str) -> tuple[Any, list[str]]:
    """The stream to read, and notes about it."""
    streams = [stream for stream in container.streams.video if not stream.disposition & _STILL]
    if not streams:
        raise InvalidRequest("the clip has no video stream", field=field)
    stream = streams[0]
    # Without a codec context, PyAV crashes when it decodes.
    if stream.codec_context is None:
        raise _unreadable("its video codec is not known here", field)
    notes = []
    if len(streams) > 1:
        notes.append(f"only the first of {len(streams)} video streams is read")
    if (ratio := stream.sample_aspect_ratio) and ratio != 1:
        notes.append(
            f"pixels that are not square ({ratio.numerator}:{ratio.denominator}) are left as they are"
        )
    return stream, notes


@contextmanager
def _parsing(what: str, field: str) -> Iterator[None]:
    """Turns libav's errors into `InvalidRequest`: the bytes come from a user."""
    try:
        yield
    except av.FFmpegError as error:  # even where libav has no memory: damaged files ask for absurd amounts
        raise _unreadable(f"{what} ({error.strerror})", field) from error
    except MemoryError as error:
        raise Busy("there is no memory for frames of this size now; try again later") from error


def _unreadable(what: str, field: str) -> InvalidRequest:
    return InvalidRequest(
        f"the clip cannot be read: {what}; send it again, or save it again as MP4", field=field
    )

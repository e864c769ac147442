"""Writes the track of an object through a clip: its masks, its positions, and an overlay."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any, TextIO

import numpy as np

from canvas.mask import extent
from canvas.sight import Sight
from canvas.view import overlay as tinted
from orchestrator.media.clip.reader import Clip, Frame
from orchestrator.media.clip.writer import ClipWriter, colour_clip, mask_clip
from store.artifact import ArtifactStore

_MASKS, _TRACK, _OVERLAY = "masks.mkv", "track.jsonl", "overlay.mp4"


@dataclass(frozen=True)
class TrackFiles:
    """Names of the artifacts of a track; `overlay` is empty if none was requested."""

    masks: str
    track: str
    overlay: str


class TrackWriter:
    """Writes frame by frame into a scratch folder. `frames` counts frames, `seen` those that show the object.

    `in_thread` runs a function in the thread that opens and closes the files.
    """

    def __init__(
        self, store: ArtifactStore, folder: Path, clip: Clip, in_thread: Callable[..., Awaitable[Any]]
    ) -> None:
        self._store, self._folder, self._clip, self._in_thread = store, folder, clip, in_thread
        self._files = ExitStack()
        self._masks: ClipWriter
        self._track: TextIO
        self._overlay: ClipWriter | None = None
        self._empty = np.zeros((clip.height, clip.width), np.uint8)
        self.frames = self.seen = 0

    def open(self, *, overlay: str) -> None:
        """Opens the files, that of the overlay for the encoder `overlay`, if there is one."""
        size = (self._clip.width, self._clip.height)
        enter, rate = self._files.enter_context, self._clip.rate
        self._track = enter((self._folder / _TRACK).open("w", encoding="utf-8"))
        self._masks = enter(mask_clip(self._folder / _MASKS, *size, rate=rate))
        if overlay:
            # Neither players nor encoders use finer units.
            time_base = max(self._clip.time_base, Fraction(1, 90_000))
            path = self._folder / _OVERLAY
            self._overlay = enter(colour_clip(path, *size, rate=rate, time_base=time_base, encoder=overlay))

    def close(self, *failure: Any) -> None:
        """Closes the files if they are open; after a failure they stay incomplete."""
        self._files.__exit__(*failure)

    async def add(self, frame: Frame, sight: Sight | None) -> None:
        """Adds the next frame, and the object's sight in it; None where it was not searched for."""
        await self._in_thread(self._add, frame, sight)

    async def store(self) -> TrackFiles:
        """Completes the files and stores them. No frame can be added afterwards."""
        await self._in_thread(self._files.close)
        masks = await self._store.put_file(self._folder / _MASKS, "video/x-matroska")
        track = await self._store.put_file(self._folder / _TRACK, "application/x-ndjson")
        if self._overlay is None:
            return TrackFiles(masks.name, track.name, "")
        overlay = await self._store.put_file(self._folder / _OVERLAY, "video/mp4")
        return TrackFiles(masks.name, track.name, overlay.name)

    def _add(self, frame: Frame, sight: Sight | None) -> None:
        mask = self._empty if sight is None else sight.mask
        box = extent(mask)
        row = {
            "frame": frame.number,
            "time": round(float(frame.time), 6),
            "presence": None if sight is None else round(sight.presence, 4),
            "area": int(np.count_nonzero(mask)),
            "box": None if box is None else [box.left, box.top, box.right, box.bottom],
        }
        self._track.write(json.dumps(row) + "\n")
        self._masks.write(mask * np.uint8(255), frame.time)
        if self._overlay is not None:
            self._overlay.write(tinted(frame.pixels, mask.astype(np.float32)), frame.time)
        self.frames += 1
        self.seen += box is not None

"""Pictures and masks out of the store and back into it. Codecs work in threads, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from canvas.box import PixelBox, full_box
from canvas.collage import Row, Spacing
from canvas.region import MaskPicture
from canvas.view import blank, layer, overlay, side_by_side
from orchestrator.aio import WorkerThread
from orchestrator.media.collage.writer import CollageWriter
from orchestrator.media.picture.change import Change
from orchestrator.media.picture.encode import Encoded, encode, profile_chunk, target_format
from orchestrator.media.picture.mask_picture import decode_mask, encode_mask
from orchestrator.media.picture.parameters import text_chunk
from orchestrator.media.picture.picture import Limits, Picture, check_kind, check_length, decode, eight_bits
from orchestrator.media.picture.picture_cache import Opened
from orchestrator.media.picture.png import write_png
from store.artifact import Artifact, ArtifactStore

# Previews are looked at for a moment; what counts is that they are small.
_PREVIEW_QUALITY = 80

# Views are drawn from the picture before, and from the region's mask or the picture after.
_VIEWS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "side_by_side": side_by_side,
    "overlay": overlay,
    "blank": blank,
    "layer": layer,
}


@dataclass(frozen=True)
class Pictures:
    """What recipes see of the store."""

    store: ArtifactStore
    limits: Limits
    opened: Opened

    async def load(self, name: str) -> Picture:
        """A picture, upright; others may be looking at it too."""
        picture = self.opened.get(name)
        if picture is None:
            picture = await asyncio.to_thread(decode, await self._read(name, "picture"), self.limits)
            self.opened.keep(name, picture)
        return picture

    async def load_mask(self, drawn: MaskPicture, of: Picture, field: str = "region") -> np.ndarray:
        """A mask drawn for a picture, float32 (height, width) in [0, 1]; `field` is the region's path."""
        data = await self._read(drawn.artifact, f"{field}.mask.artifact")
        return await asyncio.to_thread(
            decode_mask, data, drawn, of.width, of.height, self.limits, field=field
        )

    async def check_format(self, picture: Picture, format: str | None) -> None:
        """Refuses a format that this picture cannot be written in, before any work is done."""
        await asyncio.to_thread(target_format, picture, format)

    async def keep(
        self,
        picture: Picture,
        pixels: np.ndarray,
        format: str | None,
        quality: int,
        parameters: Mapping[str, Any] | None = None,
        window: PixelBox | None = None,
    ) -> tuple[Artifact, tuple[str, ...]]:
        """Stores new pixels with all else that the picture has, and the parameters they were made with.

        The pixels are those of the whole picture, or of a `window` outside of which it stays as it is. Tells
        what reading and writing changed.
        """
        change = Change(window or full_box(pixels), pixels, self.opened.strips(picture))
        encoded = await asyncio.to_thread(encode, picture, format, quality, parameters, change)
        return await self._put(encoded), (*picture.notes, *encoded.notes)

    async def keep_mask(self, mask: np.ndarray, parameters: Mapping[str, Any] | None = None) -> Artifact:
        """Stores a mask as a PNG, white inside, and the parameters it was made with."""
        data = await asyncio.to_thread(encode_mask, mask, *_texts(parameters))
        return await self.store.put_bytes(data, "image/png")

    async def keep_preview(self, pixels: np.ndarray, of: Picture) -> Artifact:
        """Stores pixels (height, width, 3) of a picture as a small JPEG."""
        preview = replace(of, pixels=eight_bits(pixels), alpha=None, exif=None)
        return await self._put(await asyncio.to_thread(encode, preview, "JPEG", _PREVIEW_QUALITY))

    async def keep_view(
        self,
        kind: str,
        before: Picture,
        *,
        mask: np.ndarray | None = None,
        after: np.ndarray | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Stores a view as a PNG: `overlay` or `blank` with a mask, `side_by_side` or `layer` with what came
        after. Transparency of the picture is not shown."""
        other = after if mask is None else mask
        assert other is not None
        sheet = await asyncio.to_thread(_VIEWS[kind], before.pixels, other)
        extra = (*profile_chunk(before.icc), *_texts(parameters))
        return await self.store.put_bytes(await asyncio.to_thread(write_png, sheet, *extra), "image/png")

    async def keep_collage(
        self,
        rows: AsyncIterator[Row],
        count: int,
        spacing: Spacing,
        icc: bytes | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Stores a collage of `count` rows as a PNG. Each row is asked for when those before are written."""
        extra = (*profile_chunk(icc), *_texts(parameters))
        async with aclosing(_collage(rows, count, spacing, extra)) as chunks:
            return await self.store.put(chunks, sha256=None, size=None, media_type="image/png")

    async def _read(self, name: str, field: str) -> bytes:
        """A picture's file. What can be none is not read as a whole: anybody may store 4 GiB of zeros."""
        check_length((await self.store.describe(name)).size, self.limits, field)
        async with aclosing(self.store.read(name)) as chunks:
            check_kind(await anext(chunks, b""), field)
        return await self.store.load(name)

    async def _put(self, encoded: Encoded) -> Artifact:
        return await self.store.put_bytes(encoded.pieces, encoded.media_type)


def _texts(parameters: Mapping[str, Any] | None) -> list[bytes]:
    return [] if parameters is None else [text_chunk(parameters)]


async def _collage(
    rows: AsyncIterator[Row], count: int, spacing: Spacing, extra: Sequence[bytes]
) -> AsyncGenerator[bytes, None]:
    writer = None
    # One thread for all of it: several would each hold on to the room that a band of panels took.
    async with WorkerThread() as aside:
        async for row in rows:
            writer = writer or CollageWriter(row, count, spacing, *extra)
            pieces = writer.row(row)
            while (piece := await aside(next, pieces, None)) is not None:
                yield piece
        assert writer is not None
        yield writer.end()

"""Loads pictures and masks from the store and stores new ones. Codecs run in threads, off the event loop."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from canvas.box import PixelBox, full_box
from canvas.collage import CollageRow, Spacing
from canvas.region import MaskPicture
from canvas.view import blank, layer, overlay, side_by_side
from intarsia.errors import InvalidRequest
from orchestrator.aio import WorkerThread
from orchestrator.media.collage.writer import CollageWriter
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.change import Change
from orchestrator.media.picture.encode import Encoded, encode, target_format
from orchestrator.media.picture.header import PictureHeader, read_header
from orchestrator.media.picture.mask_picture import decode_mask, mask_bytes
from orchestrator.media.picture.metadata import holds_gps, without_gps
from orchestrator.media.picture.parameters import parameters_chunks
from orchestrator.media.picture.picture import (
    Picture,
    PictureLimits,
    check_kind,
    check_length,
    decode,
    eight_bits,
)
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.picture.png import write_png
from orchestrator.media.picture.png_metadata import profile_chunks
from store.artifact import Artifact, ArtifactStore, Origin

T = TypeVar("T")

_LOCATION_KEPT = "the place where the picture was taken is kept (EXIF, GPS); strip_location leaves it out"
# Previews are visible for a moment; a small file matters more than quality.
_PREVIEW_QUALITY = 80

# Views are drawn from the original picture, and from the region's mask or the edited picture.
_VIEWS: Mapping[str, Callable[[np.ndarray, np.ndarray], np.ndarray]] = {
    "side_by_side": side_by_side,
    "overlay": overlay,
    "blank": blank,
    "layer": layer,
}


@dataclass(frozen=True)
class Pictures:
    """Access to the pictures of the store, for recipes."""

    store: ArtifactStore
    limits: PictureLimits
    cache: PictureCache
    budget: DecodingBudget

    async def load(self, name: str) -> Picture:
        """Loads a picture, upright. It is shared and must not be written to."""
        picture = self.cache.get(name)
        if picture is None:
            header = await self._checked_header(name, "picture")

            async def read() -> Picture:
                return await asyncio.to_thread(decode, await self.store.load(name), self.limits)

            picture = await self._decode(header, header.needed, "picture", read)
            self.cache.keep(name, picture)
        return picture

    async def header(self, name: str, field: str = "picture") -> PictureHeader:
        """What a picture's file says about it, without reading its pixels; raises `InvalidRequest`."""
        async with self.store.local(name, checked=False) as path:
            return await asyncio.to_thread(read_header, path, self.limits, field=field)

    async def load_mask(self, drawn: MaskPicture, of: Picture, field: str = "region") -> np.ndarray:
        """Loads a mask for a picture, float32 (height, width) in [0, 1]; `field` is the region's path."""
        field_of_file = f"{field}.mask.artifact"
        header = await self._checked_header(drawn.artifact, field_of_file)

        async def read() -> np.ndarray:
            data = await self.store.load(drawn.artifact)
            return await asyncio.to_thread(
                decode_mask, data, drawn, of.width, of.height, self.limits, field=field
            )

        needed = mask_bytes(header, of.width * of.height)
        return await self._decode(header, needed, field_of_file, read)

    async def check_format(self, picture: Picture, format: str | None) -> None:
        """Rejects a format that cannot hold this picture, before any work is done."""
        await asyncio.to_thread(target_format, picture, format)

    async def keep(
        self,
        picture: Picture,
        pixels: np.ndarray,
        format: str | None,
        quality: int,
        parameters: Mapping[str, Any] | None = None,
        window: PixelBox | None = None,
        *,
        strip_location: bool = False,
    ) -> tuple[Artifact, tuple[str, ...]]:
        """Stores new pixels with the picture's own metadata, and the parameters they were made with.

        The pixels are those of the whole picture, or of a `window` outside of which it stays the same.
        `strip_location` leaves out where the picture was taken.
        Returns the artifact, and notes about what reading and writing changed.
        """
        change = Change(window or full_box(pixels), pixels, self.cache.strips(picture))
        if strip_location:
            picture = replace(picture, exif=without_gps(picture.exif))
        encoded = await asyncio.to_thread(encode, picture, format, quality, parameters, change)
        kept = [_LOCATION_KEPT] if holds_gps(picture.exif) else []
        return await self._put(encoded), (*picture.notes, *encoded.notes, *kept)

    async def keep_mask(self, file: bytes) -> Artifact:
        """Stores a mask that was encoded before."""
        return await self.store.put_bytes(file, "image/png")

    async def keep_preview(self, pixels: np.ndarray, of: Picture) -> Artifact:
        """Stores pixels (height, width, 3) of a picture as a small JPEG."""
        preview = replace(of, pixels=eight_bits(pixels), alpha=None, exif=None)
        encoded = await asyncio.to_thread(encode, preview, "JPEG", _PREVIEW_QUALITY)
        return await self._put(encoded, Origin.PREVIEW)

    async def keep_view(
        self,
        kind: str,
        before: Picture,
        *,
        mask: np.ndarray | None = None,
        after: np.ndarray | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Stores a view as a PNG: `overlay` or `blank` with a mask, `side_by_side` or `layer` with the edited
        picture. The alpha channel of the picture is ignored."""
        other = after if mask is None else mask
        assert other is not None
        sheet = await asyncio.to_thread(_VIEWS[kind], before.pixels, other)
        extra = (*profile_chunks(before.icc), *parameters_chunks(parameters))
        return await self.store.put_bytes(await asyncio.to_thread(write_png, sheet, *extra), "image/png")

    async def keep_collage(
        self,
        rows: AsyncIterator[CollageRow],
        count: int,
        spacing: Spacing,
        icc: bytes | None = None,
        parameters: Mapping[str, Any] | None = None,
    ) -> Artifact:
        """Stores a collage of `count` rows as a PNG. A row is taken when the rows before it are written."""
        extra = (*profile_chunks(icc), *parameters_chunks(parameters))
        async with aclosing(_collage(rows, count, spacing, extra)) as chunks:
            return await self.store.put(chunks, sha256=None, size=None, media_type="image/png")

    async def _checked_header(self, name: str, field: str) -> PictureHeader:
        """The header of a file that may be loaded as a whole: it may have 4 GiB, and be no picture at all."""
        check_length((await self.store.describe(name)).size, self.limits, field)
        async with aclosing(self.store.read(name)) as chunks:
            check_kind(await anext(chunks, b""), field)
        try:
            return await self.header(name, field)
        except InvalidRequest:
            async with self.store.local(name):  # what the store has damaged is no fault of the file
                raise

    async def _decode(
        self, header: PictureHeader, needed: int, field: str, read: Callable[[], Awaitable[T]]
    ) -> T:
        """What `read` returns, which takes so many bytes; it waits until they are free."""
        what = f"the picture ({header.format}, {header.width} x {header.height})"
        self.budget.check(needed, what, field)
        return await self.budget.run(needed, read)

    async def _put(self, encoded: Encoded, origin: Origin = Origin.RESULT) -> Artifact:
        return await self.store.put_bytes(encoded.pieces, encoded.media_type, origin=origin)


async def _collage(
    rows: AsyncIterator[CollageRow], count: int, spacing: Spacing, extra: Sequence[bytes]
) -> AsyncGenerator[bytes, None]:
    writer = None
    # One thread for all of it: each of several would keep the memory of a band of panels allocated.
    async with WorkerThread() as in_thread:
        async for row in rows:
            writer = writer or CollageWriter(row, count, spacing, *extra)
            pieces = writer.row(row)
            while (piece := await in_thread(next, pieces, None)) is not None:
                yield piece
        assert writer is not None
        yield writer.end()

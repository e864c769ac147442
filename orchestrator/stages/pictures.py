"""Pictures and masks out of the store and back into it. Codecs work in threads, off the event loop."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from dataclasses import dataclass, replace

import numpy as np

from intarsia.canvas.region import MaskPicture
from orchestrator.artifacts.encode import Encoded, encode, target_format
from orchestrator.artifacts.mask_picture import decode_mask, encode_mask
from orchestrator.artifacts.picture import Limits, Picture, check_kind, check_length, decode, eight_bits
from orchestrator.artifacts.store import Artifact, ArtifactStore

# Previews are looked at for a moment; what counts is that they are small.
_PREVIEW_QUALITY = 80


@dataclass(frozen=True)
class Pictures:
    """What recipes see of the store."""

    store: ArtifactStore
    limits: Limits

    async def load(self, name: str) -> Picture:
        """A picture, upright."""
        return await asyncio.to_thread(decode, await self._read(name, "picture"), self.limits)

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
        self, picture: Picture, pixels: np.ndarray, format: str | None, quality: int
    ) -> tuple[Artifact, tuple[str, ...]]:
        """Stores new pixels with all else that the picture has; tells what reading and writing changed."""
        changed = replace(picture, pixels=pixels)
        encoded = await asyncio.to_thread(encode, changed, format, quality)
        return await self._put(encoded), (*picture.notes, *encoded.notes)

    async def keep_mask(self, mask: np.ndarray) -> Artifact:
        """Stores a mask as a PNG, white inside."""
        return await self.store.put_bytes(await asyncio.to_thread(encode_mask, mask), "image/png")

    async def keep_preview(self, pixels: np.ndarray, of: Picture) -> Artifact:
        """Stores pixels (height, width, 3) of a picture as a small JPEG."""
        preview = replace(of, pixels=eight_bits(pixels), alpha=None, exif=None)
        return await self._put(await asyncio.to_thread(encode, preview, "JPEG", _PREVIEW_QUALITY))

    async def _read(self, name: str, field: str) -> bytes:
        """A picture's file. What can be none is not read as a whole: anybody may store 4 GiB of zeros."""
        check_length((await self.store.describe(name)).size, self.limits, field)
        async with aclosing(self.store.read(name)) as chunks:
            check_kind(await anext(chunks, b""), field)
        return await self.store.load(name)

    async def _put(self, encoded: Encoded) -> Artifact:
        return await self.store.put_bytes(encoded.data, encoded.media_type)

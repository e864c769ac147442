"""Handles of stored files: the pictures, masks and clips of a result. Bytes are fetched on use."""

from __future__ import annotations

import builtins
import os
from dataclasses import dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import Any

from intarsia import artifacts, pixels
from intarsia.blocking import blocking
from intarsia.pixels import Array, PilImage
from intarsia.retry import Calls


@dataclass(frozen=True)
class AsyncResultFile:
    """A stored file of an `AsyncClient`. Equal to every handle of the same name, which is its text."""

    name: str
    _calls: Calls = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name

    async def bytes(self) -> builtins.bytes:
        """The file's bytes, checked by their digest."""
        return await artifacts.read(self._calls, self.name)

    async def save(self, path: str | os.PathLike[str]) -> Path:
        """Downloads the file; it appears only when it is complete and its digest is right."""
        return await artifacts.download(self._calls, self.name, Path(path), None)

    async def image(self) -> PilImage:
        """The picture as a PIL image. Needs Pillow."""
        return await self._calls.transport.in_thread(pixels.image, await self.bytes())

    async def array(self) -> Array:
        """The picture as an array, (height, width) or (height, width, 3 or 4) in RGB order, uint8 or uint16.

        Needs NumPy, and OpenCV or Pillow (for 16-bit colours OpenCV).
        """
        return await self._calls.transport.in_thread(pixels.array, await self.bytes())


@dataclass(frozen=True)
class ResultFile:
    """The blocking version of `AsyncResultFile`."""

    name: str
    _core: AsyncResultFile = field(repr=False, compare=False)

    def __str__(self) -> str:
        return self.name

    bytes = blocking(AsyncResultFile.bytes)
    save = blocking(AsyncResultFile.save)
    image = blocking(AsyncResultFile.image)
    array = blocking(AsyncResultFile.array)


def with_blocking_files(value: Any) -> Any:
    """A result, or a part of one, whose handles are replaced by their blocking versions."""
    if isinstance(value, AsyncResultFile):
        return ResultFile(value.name, value)
    if isinstance(value, tuple):
        return tuple(with_blocking_files(each) for each in value)
    if isinstance(value, dict):
        return {key: with_blocking_files(each) for key, each in value.items()}
    if is_dataclass(value) and not isinstance(value, type):
        return replace(
            value, **{each.name: with_blocking_files(getattr(value, each.name)) for each in fields(value)}
        )
    return value

"""A picture somebody asks about, and what networks know of it already."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor

from services.cache import ByteBudgetCache
from services.refusal import Refusal
from services.sam.preprocessing import key_of


class Known(Protocol):
    """What a network made of a picture of this size, and how much room that takes."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def bytes(self) -> int: ...


Made = TypeVar("Made", bound=Known, covariant=True)


class Network(Protocol[Made]):
    """Looks at a picture once, whatever is asked about it later."""

    @property
    def name(self) -> str: ...

    def embed(self, picture: Tensor) -> Made:
        """What is there to know of a picture, uint8 (height, width, 3)."""


class Shown:
    """A picture by its pixels, or by the key of one that was shown before. Nobody comes back to one that is
    `passing`, so nothing is kept of it; its pixels must be there."""

    def __init__(
        self,
        kept: ByteBudgetCache[Any],
        *,
        pixels: Tensor | None = None,
        key: bytes = b"",
        passing: bool = False,
    ) -> None:
        self._kept = kept
        self._pixels = pixels
        self._passing = passing
        self._key = key_of(pixels) if pixels is not None and not passing else key

    def size(self, network: Network[Known]) -> tuple[int, int]:
        """Height and width; without pixels they are what `network` remembers."""
        if self._pixels is not None:
            return self._pixels.shape[0], self._pixels.shape[1]
        known = self.known_to(network)
        return known.height, known.width

    def known_to(self, network: Network[Made]) -> Made:
        """What a network makes of the picture, remembered or made now."""
        if self._passing and self._pixels is not None:
            return network.embed(self._pixels)
        key = network.name.encode() + self._key
        found = self._kept.get(key)
        if found is None:
            if self._pixels is None:
                raise Refusal(
                    "UNKNOWN_PICTURE", "picture_key names no picture that is kept here; send its pixels"
                )
            found = network.embed(self._pixels)
            self._kept.put(key, found)
        return found

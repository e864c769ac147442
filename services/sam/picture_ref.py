"""The picture of a request, and the cached features of it."""

from __future__ import annotations

from typing import Any, Protocol, TypeVar

from torch import Tensor

from services.cache import ByteBudgetCache
from services.refusal import Refusal
from services.sam.preprocessing import key_of


class Features(Protocol):
    """The features of a picture of this size, and the bytes they take."""

    @property
    def height(self) -> int: ...
    @property
    def width(self) -> int: ...
    @property
    def bytes(self) -> int: ...


FeaturesT = TypeVar("FeaturesT", bound=Features, covariant=True)


class PictureEncoder(Protocol[FeaturesT]):
    """Computes the features of a picture, which serve every prompt on it."""

    @property
    def name(self) -> str: ...

    def embed(self, picture: Tensor) -> FeaturesT:
        """The features of a picture, uint8 (height, width, 3)."""


class PictureRef:
    """A picture by its pixels, or by the key of one that was sent before. The features of one with
    `cached=False` are not cached; its pixels must be given."""

    def __init__(
        self,
        cache: ByteBudgetCache[Any],
        *,
        pixels: Tensor | None = None,
        key: bytes = b"",
        cached: bool = True,
    ) -> None:
        self._cache = cache
        self._pixels = pixels
        self._cached = cached
        self._key = key_of(pixels) if pixels is not None and cached else key

    def size(self, network: PictureEncoder[Features]) -> tuple[int, int]:
        """Height and width; without pixels, those in the cached features of `network`."""
        if self._pixels is not None:
            return self._pixels.shape[0], self._pixels.shape[1]
        features = self.features_of(network)
        return features.height, features.width

    def features_of(self, network: PictureEncoder[FeaturesT]) -> FeaturesT:
        """The features of the picture for a network, from the cache or computed now."""
        if not self._cached and self._pixels is not None:
            return network.embed(self._pixels)
        key = network.name.encode() + self._key
        found = self._cache.get(key)
        if found is None:
            if self._pixels is None:
                raise Refusal(
                    "UNKNOWN_PICTURE", "no picture with this picture_key is cached; send its pixels"
                )
            found = network.embed(self._pixels)
            self._cache.put(key, found)
        return found

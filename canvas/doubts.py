"""Doubts about regions that a model found: what a person would see at once, and a score does not say."""

from __future__ import annotations

from collections.abc import Iterator

import cv2
import numpy as np

from canvas.describe import describe_point
from canvas.mask import area, box_mask, extent
from canvas.region import All, Box, Click, Clicks, MaskCandidate, Region

# A region in at least so many pieces, the largest of which has less than this share of it, is in specks.
_PIECES, _LARGEST = 5, 0.5
# Of a thing that was boxed, more than the first share of the box is covered, and less than the second share
# of the thing lies outside of it.
_COVERED, _OUTSIDE = 0.05, 0.1
_SCORE, _STABILITY = 0.7, 0.7


def doubts(found: MaskCandidate, region: Region) -> tuple[str, ...]:
    """The doubts about what was found for a region, before it is shaped, in plain words. None about what was
    drawn."""
    return () if found.model_pixel is None else tuple(_doubts(found, region))


def _doubts(found: MaskCandidate, region: Region) -> Iterator[str]:
    mask, selector = found.mask, region.selector
    box = extent(mask)
    # Of 32 bits a pixel, which should not be those of the whole picture.
    count, _, stats, _ = cv2.connectedComponentsWithStats(mask[box.window] if box else mask, connectivity=8)
    sizes = np.sort(stats[1:, cv2.CC_STAT_AREA])
    # Several things that are meant together are pieces too.
    if count - 1 >= _PIECES and sizes[-1] < _LARGEST * sizes.sum() and not isinstance(region.choice, All):
        yield f"the region is in {count - 1} pieces, the largest of {sizes[-1]} pixels"
    if isinstance(selector, Clicks):
        yield from _missed(mask, selector.clicks, "click")
    if isinstance(selector, Box):
        inside = box_mask(selector, *mask.shape) > 0
        within, total = area(mask * inside), area(mask)
        if within < _COVERED * np.count_nonzero(inside):
            yield f"the region covers {within / max(np.count_nonzero(inside), 1):.1%} of its box"
        if total - within > _OUTSIDE * total:
            yield f"{(total - within) / total:.0%} of the region lies outside its box"
    yield from _missed(mask, region.corrections, "correction")
    if found.score < _SCORE:
        yield f"the model is not sure of the region: its score is {found.score:.2f}"
    if found.stability < _STABILITY:
        yield f"the outline of the region is uncertain: its stability is {found.stability:.2f}"


def _missed(mask: np.ndarray, clicks: tuple[Click, ...], name: str) -> Iterator[str]:
    height, width = mask.shape
    for click in clicks:
        x, y = min(int(click.x), width - 1), min(int(click.y), height - 1)
        near = mask[max(y - 1, 0) : y + 2, max(x - 1, 0) : x + 2]
        where = describe_point(click.x, click.y)
        if click.outside and mask[y, x]:
            yield f"the region covers the point {where}, which is to be outside of it"
        elif not click.outside and not near.any():
            yield f"the region misses the {name} at {where}"

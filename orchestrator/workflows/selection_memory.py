"""The memory that selecting takes: finding regions in a picture, correcting, shaping and storing their masks.

Figures are in bytes for each pixel of the picture.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from canvas.region import Combination, MaskPicture, Polygon, Region, Selector, Words, every
from intarsia.errors import InvalidRequest
from orchestrator.media.picture.header import PictureHeader
from orchestrator.media.picture.mask_picture import mask_bytes
from orchestrator.stages.factory import Stages
from orchestrator.workflows.selection import AT_ONCE, FieldRegion, finds

# Of a mask.
MASK = 4
# A picture on its way to a model, and masks on their way back: an array, a message, and gRPC's own copy.
SENT, _CLICKED = 9, 17
# A phrase's matches come in one reply, of at most so many masks and so many bytes.
_MATCHES, _MATCHES_BYTES = 200, 1 << 30
# Drawing, correcting, shaping and storing a mask; combining it with another one.
_DRAWN, _CORRECTED, _SHAPED, _INVERTED, STORED, _COMBINED = 8, 18, 40, 6, 6, 16


async def mask_headers(targets: Iterable[FieldRegion], at: Stages) -> dict[str, PictureHeader]:
    """The headers of all mask pictures that regions are made of, by artifact."""
    selectors = (region.selector for target in targets for region in every(target.region))
    names = {selector.artifact for selector in selectors if isinstance(selector, MaskPicture)}
    return {name: await at.pictures.header(name) for name in sorted(names)}


async def mask_decoding_bytes(targets: Iterable[FieldRegion], pixels: int, at: Stages) -> int:
    """The bytes it takes to decode all mask pictures for pictures of so many pixels. Those that cannot be
    read take none: the job will say why."""
    try:
        headers = await mask_headers(targets, at)
    except InvalidRequest:
        return 0
    return sum(mask_bytes(header, pixels) for header in headers.values())


def selection_bytes(region: Region, header: PictureHeader, masks: Mapping[str, PictureHeader]) -> int:
    """The bytes it takes to find a region and to store its mask; `masks` are the headers of mask pictures."""
    shaping, pixels = region.shaping, header.pixels
    # A thing that a model found is grown unless the client says by how much.
    grown = shaping.grow or (shaping.grow is None and finds(region))
    shaped = bool(shaping.fill_holes or grown or shaping.shrink)
    a_pixel = MASK + STORED + _CORRECTED * bool(region.corrections)
    a_pixel += _SHAPED * shaped + _INVERTED * shaping.invert
    a_pixel += 3 * (header.levels - 1)  # a copy in 8 bits, for models
    return a_pixel * pixels + _candidates(region.selector, header, masks)


def _candidates(selector: Selector, header: PictureHeader, masks: Mapping[str, PictureHeader]) -> int:
    """What the candidates of a selector take. A few terms of a combination are found at a time."""
    pixels = header.pixels
    if isinstance(selector, Combination):
        terms = sorted(selection_bytes(term.region, header, masks) for term in selector.terms)[-AT_ONCE:]
        return sum(terms) + (AT_ONCE * MASK + _COMBINED) * pixels
    if isinstance(selector, Words):
        matches = min(_MATCHES * pixels, _MATCHES_BYTES)
        return (3 + 2 * len(selector.not_phrases)) * matches + _CLICKED * pixels
    if isinstance(selector, MaskPicture):
        mask = masks[selector.artifact]
        return mask.decoding + mask.nbytes + 3 * MASK * mask.pixels + 2 * _DRAWN * pixels
    if isinstance(selector, Polygon):
        return _DRAWN * pixels
    return _CLICKED * pixels

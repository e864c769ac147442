"""Growth: how far regions are grown, and how softly they are feathered, where the client does not say.

A thing that a model found is grown until no rim of it stays: by as much as the model's outline may be off,
and by the width of the feather, which then lies outside of the thing. What was drawn is taken as drawn.
"""

from __future__ import annotations

import math
from dataclasses import replace

from canvas.mask import area
from canvas.region import MaskCandidate, Shaping

# A model's outline is off by about a pixel of the picture, one and a half of the model's own pixels, and a
# share of the thing's size; `benchmarks.outlines` measures what is left of things then.
_PIXEL, _MODEL_PIXELS, _SHARE = 1.0, 1.5, 0.03
# The feather is a share of the region's size, within these limits in pixels.
_FEATHER, _NARROWEST, _WIDEST = 0.03, 1.0, 8.0


def resolve_shaping(shaping: Shaping, candidate: MaskCandidate, *, grows: bool = True) -> Shaping:
    """The shaping of a candidate with its growth and its feather; values that are given stay.

    Nothing is grown by default unless it `grows`, nor is what the client shrinks or inverts: it shapes the
    outline itself.
    """
    size = math.sqrt(area(candidate.mask))
    feather, grow = shaping.feather, shaping.grow
    if feather is None:
        feather = min(max(_FEATHER * size, _NARROWEST), _WIDEST)
    if candidate.model_pixel is None or not grows or shaping.shrink or shaping.invert:
        return replace(shaping, grow=grow or 0.0, feather=feather)
    off = _PIXEL + _MODEL_PIXELS * candidate.model_pixel + _SHARE * size
    if grow is None:
        grow = off + min(feather, _WIDEST)
    elif shaping.feather is None:
        feather = min(feather, max(grow - off, 0.0))
    return replace(shaping, grow=grow, feather=feather)

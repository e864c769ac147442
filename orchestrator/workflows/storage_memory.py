"""The memory that storing takes: writing a candidate's file, its views, and what all candidates share.

Figures are in bytes for each pixel of the picture.
"""

from __future__ import annotations

from collections.abc import Sequence

from canvas.view import GAP
from orchestrator.media.picture.formats import lossless_format
from orchestrator.media.picture.header import PictureHeader
from orchestrator.workflows.picture_request import Collage, Output
from orchestrator.workflows.views import CANDIDATE_VIEWS, SHARED_VIEWS

# Writing a file or a view: for each byte of a level, and beside that.
_ENCODED = {"PNG": (9, 0), "TIFF": (13, 0), "JPEG": (3, 14), "WEBP": (3, 90)}
_VIEWS = {"side_by_side": (22, 0), "layer": (16, 5), "overlay": (10, 62), "blank": (10, 2)}
# The picture's own compressed strips, for each byte of a level: they are kept with it.
_STRIPS = 5
# Of a collage's lines, of which some are in memory; and reading a candidate's file for it.
_COLLAGE, _COLLAGE_LINES, _DECODED = 40, 1024, 40


def storage_bytes(output: Output, header: PictureHeader) -> int:
    """The bytes it takes to write a candidate's file, and its views."""
    a_level, fixed = _ENCODED[output.format or lossless_format(header.format)]
    view = _view(output, header, CANDIDATE_VIEWS)
    whole = 3 * header.levels * header.pixels if view else 0
    return (a_level * header.levels + fixed) * header.pixels + whole + view


def shared_bytes(output: Output, header: PictureHeader) -> int:
    """The bytes it takes to write what all candidates share: one view, or a row of the collage, at a time."""
    view = _view(output, header, SHARED_VIEWS)
    row = 0 if output.collage is None else _collage_row(output.collage, header)
    return _STRIPS * header.levels * header.pixels + max(view, row)


def _view(output: Output, header: PictureHeader, kinds: Sequence[str]) -> int:
    """The largest of the views that are asked for: they are stored one after the other."""
    pixels = header.pixels + GAP * max(header.width, header.height)
    asked = (_VIEWS[kind] for kind in kinds if kind in output.views)
    return max(((a_level * header.levels + fixed) * pixels for a_level, fixed in asked), default=0)


def _collage_row(collage: Collage, header: PictureHeader) -> int:
    """A candidate's file, read again, and some lines of the collage."""
    read = (_DECODED + 13 * header.levels) * header.pixels
    side = max(header.width, header.height)  # as it may be turned
    lines = max(_COLLAGE_LINES, collage.spacing.vertical)
    line = 3 * side + 2 * collage.spacing.horizontal
    return read + _COLLAGE * header.levels * min(lines, side + _COLLAGE_LINES // 4) * line

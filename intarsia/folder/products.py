"""Products: the files of a job's result, and their names.

    sub/name.png              the picture; with several candidates, that of the first seed
    sub/name_2.png            the picture of the second seed, and so on
    sub/name_mask.png         the mask that was used, on request
    sub/name_overlay.png      a view of all candidates
    sub/name_2_layer.png      a view of the second candidate
    sub/name_collage.png      the comparison collage

An ending here is the part between an item's name and the dot: `""`, `_2`, `_mask`, `_2_layer`.
"""

from __future__ import annotations

import os

from intarsia.editing import PictureRequest
from intarsia.folder.scan import ENDINGS
from intarsia.results import F, PictureResult
from intarsia.v1.results_pb2 import View

_SUFFIXES = {"image/png": ".png", "image/jpeg": ".jpg", "image/webp": ".webp", "image/tiff": ".tif"}


def endings(request: PictureRequest, *, with_mask: bool) -> list[str]:
    """Every ending that a request's products can have, without the empty one of the first picture."""
    rows = ["", *(f"_{number}" for number in range(2, request.job.candidates + 1))]
    found = [*rows[1:], *(f"{row}_{_word(kind)}" for row in rows for kind in request.job.output.views)]
    if with_mask:
        found.append("_mask")
    if request.job.output.HasField("collage"):
        found.append("_collage")
    return found


def products(result: PictureResult[F], *, with_mask: bool) -> dict[str, F]:
    """The artifacts of a result, by the endings of their files."""
    found = {"": result.picture}
    for number, candidate in enumerate(result.candidates, start=1):
        row = f"_{number}" if number > 1 else ""
        found[row] = candidate.picture
        found |= {f"{row}_{kind}": view for kind, view in candidate.views.items()}
    found |= {f"_{kind}": view for kind, view in result.views.items()}
    if with_mask:
        found["_mask"] = result.mask
    if result.collage is not None:
        found["_collage"] = result.collage
    return found


def suffix(media_type: str, source: str) -> str:
    """The file suffix of a media type; that of the source if it stands for the same type."""
    own = os.path.splitext(source)[1]
    return own if ENDINGS.get(own.lower()) == media_type else _SUFFIXES.get(media_type, "")


def _word(kind: View.Kind) -> str:
    """KIND_SIDE_BY_SIDE -> `side_by_side`."""
    return View.Kind.Name(kind).removeprefix("KIND_").lower()

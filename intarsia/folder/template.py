"""Templates: a request for every picture of a folder, with the places left open that differ.

Open are the picture, the id, and every mask without an artifact in a region, however deep in a
combination: those are the item's own mask, `intarsia.mask(None, …)`.
"""

from __future__ import annotations

from collections.abc import Iterator

from intarsia.editing import Request
from intarsia.errors import InvalidRequest
from intarsia.v1.editing_pb2 import EditRegionRequest
from intarsia.v1.region_pb2 import Mask, Region


def template(request: Request, *, masked: bool) -> Request:
    """The request without what differs from picture to picture. Without previews, which nobody would see."""
    made = copied(request)
    for field in ("picture", "request_id", "preview_every"):
        made.ClearField(field)
    if masked != (next(_open(made), None) is not None):
        raise InvalidRequest(
            "the region says nothing of the folder's masks; leave them out, or say what is inside them"
            if masked
            else "the mask is missing; name one for all pictures, or a folder of masks",
            field="region.mask",
        )
    return made


def filled_in(request: Request, picture: str, mask: str = "") -> Request:
    """A template for one picture, and its mask; both are artifacts."""
    made = copied(request)
    made.picture = picture
    for place in _open(made):
        place.artifact = mask
    return made


def copied(request: Request) -> Request:
    """The same once more."""
    made = type(request)()
    made.CopyFrom(request)
    return made


def _open(request: Request) -> Iterator[Mask]:
    """Masks that are not named yet."""
    further = request.then if isinstance(request, EditRegionRequest) else ()
    for region in (request.region, *(each.region for each in further)):
        yield from (mask for mask in _masks(region) if not mask.artifact)


def _masks(region: Region) -> Iterator[Mask]:
    if region.WhichOneof("selector") == "mask":
        yield region.mask
    for term in region.combination.terms:
        yield from _masks(term.region)

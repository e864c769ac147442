"""Templates: the request for every picture of a folder, without the fields that differ.

Empty are the picture, the request id, and every mask without an artifact in a region, however deep in a
combination: `intarsia.mask(None, …)` stands for each picture's own mask.
"""

from __future__ import annotations

from collections.abc import Iterator

from intarsia.editing import PictureRequest
from intarsia.errors import InvalidRequest
from intarsia.v1.editing_pb2 import EditRegionRequest
from intarsia.v1.jobs_pb2 import Job
from intarsia.v1.region_pb2 import Mask, Region


def template(request: PictureRequest, *, masked: bool) -> PictureRequest:
    """The request without what differs from picture to picture, and without previews, which are not shown.

    Its jobs are batch jobs, unless it says otherwise. They need no watcher: a run that was killed leaves
    them to the next one.
    """
    made = copy_of(request)
    for field in ("picture", "request_id", "preview_every", "watched_within"):
        made.job.ClearField(field)
    made.job.kind = made.job.kind or Job.KIND_BATCH
    if masked != (next(_unnamed_masks(made), None) is not None):
        raise InvalidRequest(
            "the region does not use the folder's masks; leave them out, or name what is inside them"
            if masked
            else "the mask is missing; name one for all pictures, or a folder of masks",
            field="region.mask",
        )
    return made


def fill_template(request: PictureRequest, picture: str, mask: str = "") -> PictureRequest:
    """A template for one picture, and its mask; both are artifacts."""
    made = copy_of(request)
    made.job.picture = picture
    for place in _unnamed_masks(made):
        place.artifact = mask
    return made


def copy_of(request: PictureRequest) -> PictureRequest:
    """A copy of a request."""
    made = type(request)()
    made.CopyFrom(request)
    return made


def _unnamed_masks(request: PictureRequest) -> Iterator[Mask]:
    """The masks of all regions that have no artifact yet."""
    further = request.further_edits if isinstance(request, EditRegionRequest) else ()
    for region in (request.region, *(each.region for each in further)):
        yield from (mask for mask in _masks(region) if not mask.artifact)


def _masks(region: Region) -> Iterator[Mask]:
    if region.WhichOneof("selector") == "mask":
        yield region.mask
    for term in region.combination.terms:
        yield from _masks(term.region)

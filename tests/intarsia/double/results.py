"""What the jobs of a double make: all that was asked for, but no pictures."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from intarsia.v1.results_pb2 import PictureResult, Result, TrackResult, View

Keep = Callable[[bytes], str]  # stores bytes and returns their name

SHARED_VIEWS = (View.KIND_OVERLAY, View.KIND_BLANK)


def result_of(method: str, request: Any, keep: Keep) -> Result:
    """The result of a job that this request started."""
    if method == "TrackRegion":
        return Result(track=_track_result(request, keep))
    picture = b"a filled picture" if method == "FillRegion" else b"an edited picture"
    return Result(picture=_picture_result(request, keep(picture), keep))


def _picture_result(request: Any, picture: str, keep: Keep) -> PictureResult:
    """Candidates, views and collage, as they were asked for."""
    result = PictureResult(picture=picture, mask=keep(b"a mask"))
    result.manifest.seed, result.manifest.steps, result.manifest.scheduler = 7, 2, "ddim"
    result.manifest.notes.append("16-bit values were rounded to 8 bits")
    for n in range(request.job.candidates or 1):
        one = result.candidates.add(picture=keep(b"candidate %d" % (n + 1)) if n else picture, seed=7 + n)
        for kind in request.job.output.views:
            if kind not in SHARED_VIEWS:
                one.views.add(kind=kind, picture=keep(b"view %d of %d" % (kind, n + 1)))
    for kind in request.job.output.views:
        if kind in SHARED_VIEWS:
            result.views.add(kind=kind, picture=keep(b"view %d" % kind))
    if request.job.output.HasField("collage"):
        result.collage = keep(b"a collage")
    return result


def _track_result(request: Any, keep: Keep) -> TrackResult:
    """Masks and a track of ten frames, and an overlay if it was asked for."""
    return TrackResult(
        masks=keep(b"masks of a clip"),
        track=keep(b"{}"),
        overlay=keep(b"an overlay of a clip") if request.overlay else "",
        frames=10,
        seen=8,
        notes=["10-bit values were rounded to 8 bits"],
    )

"""Jobs as text for people."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from intarsia.cli.follow_job import seconds
from intarsia.cli.output import as_json
from intarsia.results import JobStatus, PictureResult, TrackResult


def line(job: JobStatus[Any]) -> str:
    at = job.progress
    where = f"{at.stage} {at.step}/{at.steps}" if at.steps else at.stage
    since = as_json(job.create_time) or ""
    why = f"{job.error.reason}: {job.error.message}" if job.error is not None else ""
    parts = (job.name, job.method, job.state.value, "" if why else where, since, why)
    return "  ".join(part for part in parts if part)


def details(job: JobStatus[Any]) -> Iterator[tuple[str, str]]:
    """What there is to say about a job, by name."""
    if not job.state.finished:
        yield "progress", f"{job.progress.fraction:.0%}"
        if job.progress.remaining is not None:
            yield "left", f"about {job.progress.remaining.total_seconds():.0f} s"
    if job.start_time is not None:
        yield "started", as_json(job.start_time)
    if job.end_time is not None:
        yield "ended", f"{as_json(job.end_time)}, after {seconds(job):.1f} s"
    yield "kind", f"{job.kind}, priority {job.priority}, attempt {job.attempt}"
    if job.labels:
        yield "labels", ", ".join(job.labels)
    if job.request_id:
        yield "request id", job.request_id
    result = job.result
    if isinstance(result, PictureResult):
        made = result.manifest
        guidance = ", ".join(f"{name} {value:g}" for name, value in made.guidance.items())
        yield "made with", f"seed {made.seed}, {made.steps} steps of {made.scheduler}, guidance {guidance}"
        for number, part in enumerate(result.parts, 1):
            box = part.region.box
            where = f"{box.left},{box.top},{box.right},{box.bottom}, {part.region.area} pixels"
            yield f"region {number}", f"{where}{f': {part.instruction}' if part.instruction else ''}"
        yield "mask", str(result.mask)
        for number, candidate in enumerate(result.candidates, 1):
            yield f"picture {number}", f"{candidate.picture}, seed {candidate.seed}"
        yield from (("note", note) for note in made.notes)
    elif isinstance(result, TrackResult):
        yield "seen in", f"{result.seen} of {result.frames} frames of {result.width} x {result.height}"
        yield "masks", str(result.masks)
        yield "track", str(result.track)
        if result.overlay is not None:
            yield "overlay", str(result.overlay)
        yield from (("note", note) for note in result.notes)

"""TrackingSession a region through a clip: pointed at in one frame or more, found in every other."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from contextlib import aclosing
from dataclasses import dataclass

from canvas.sight import Sight
from intarsia.errors import InvalidRequest, ModelDown
from orchestrator.aio import gather_or_cancel
from orchestrator.media.clip.reader import Clip, Frame
from orchestrator.media.clip.track_writer import TrackWriter
from orchestrator.media.clip.writer import LARGEST_SIDE
from orchestrator.models.tracking import ClipForgotten
from orchestrator.runs.run import TRACKING
from orchestrator.stages.factory import Stages
from orchestrator.workflows.sighting import Sighting, pointed, shaped

log = logging.getLogger(__name__)

# A model that is started anew has forgotten every clip. More often than this it does not get well.
_BEGINNINGS = 3
# More than anybody films. From a file that announces more, nothing is foretold.
_MOST_FRAMES = 100_000_000


@dataclass(frozen=True)
class TrackRegion:
    """What to follow. Sightings come by rising frame; `frames` counts from the first, None for all."""

    clip: str
    sightings: tuple[Sighting, ...]
    frames: int | None = None
    overlay: bool = False


@dataclass(frozen=True)
class Tracked:
    """Where the masks, the track and the overlay are kept, and what they tell in sum."""

    masks: str
    track: str
    overlay: str
    frames: int
    seen: int
    width: int
    height: int
    stage_seconds: Mapping[str, float]
    weights: Mapping[str, str]
    notes: tuple[str, ...]


async def track_region(request: TrackRegion, at: Stages) -> Tracked:
    """Follow the region; from the beginning again if the model has lost its memory, so that the masks are
    the same as if it had not."""
    for _ in range(_BEGINNINGS):
        at.run.expect(TRACKING)
        try:
            return await _followed(request, at)
        except ClipForgotten:
            log.warning("sam has forgotten the clip; following it from the beginning")
    raise ModelDown(
        f"sam forgot the clip {_BEGINNINGS} times while it was followed; try again when it is less busy",
        model="sam",
    )


async def _followed(request: TrackRegion, at: Stages) -> Tracked:
    first, last = request.sightings[0].frame, request.sightings[-1].frame
    sighted = {sighting.frame: sighting for sighting in request.sightings}
    end = None if request.frames is None else first + request.frames
    weights = {"sam": await at.sam.digest()}

    async with (
        at.clips.open(request.clip) as clip,
        at.clips.track_writer(clip, overlay=request.overlay) as trace,
        at.sam.tracking() as session,
    ):
        _check_shown(request, clip.info.width, clip.info.height)
        expected = _foretold(clip.info.frames, end)

        async def looked(frame: Frame) -> Sight | None:
            if frame.number < first:
                return None
            if frame.number in sighted:
                with at.stage("segment", of=len(sighted)):
                    return await pointed(frame, sighted[frame.number], session, at)
            sight = await session.locate(frame.number, frame.pixels)
            latest = max(number for number in sighted if number <= frame.number)
            return await shaped(sight, sighted[latest])

        with at.stage("track") as work:
            before: tuple[Frame, Sight | None] | None = None
            async with aclosing(clip.frames()) as frames:
                async for frame in frames:
                    # The frame before is written while this one is looked at.
                    sight, _ = await gather_or_cancel(looked(frame), _written(trace, before))
                    before = (frame, sight)
                    work.stepped(frame.number + 1, max(expected, frame.number + 1) if expected else 0)
                    if frame.number + 1 == end:
                        break
            await _written(trace, before)
        _check_seen(request, last, trace.frames)
        with at.stage("inlay"):
            kept = await trace.store()
        return Tracked(
            masks=kept.masks,
            track=kept.track,
            overlay=kept.overlay,
            frames=trace.frames,
            seen=trace.seen,
            width=clip.info.width,
            height=clip.info.height,
            stage_seconds=dict(at.run.times),
            weights=weights,
            notes=_notes(request, clip.info),
        )


def _notes(request: TrackRegion, clip: Clip) -> tuple[str, ...]:
    """What was converted, and what is to be known of the overlay."""
    odd = request.overlay and (clip.width % 2 or clip.height % 2)
    return (*clip.notes, *(["not every player plays an overlay whose sides are odd"] if odd else []))


def _foretold(announced: int | None, end: int | None) -> int:
    """How many frames there will be, as far as that is known; else 0."""
    return min((count for count in (announced, end) if count and 0 < count <= _MOST_FRAMES), default=0)


async def _written(trace: TrackWriter, before: tuple[Frame, Sight | None] | None) -> None:
    if before is not None:
        await trace.add(*before)


def _check_shown(request: TrackRegion, width: int, height: int) -> None:
    if request.overlay and max(width, height) > LARGEST_SIDE:
        raise InvalidRequest(
            f"an overlay has at most {LARGEST_SIDE} pixels along a side, and the clip is {width} x {height}; "
            "ask for the masks alone",
            field="overlay",
        )


def _check_seen(request: TrackRegion, last: int, frames: int) -> None:
    if last < frames:
        return
    n = next(n for n, sighting in enumerate(request.sightings) if sighting.frame >= frames)
    field = f"sightings[{n}].frame"
    raise InvalidRequest(
        f"{field} is {request.sightings[n].frame}, but only {frames} frames were looked at, counted from 0; "
        "point at the thing in one of those",
        field=field,
        frames=frames,
    )

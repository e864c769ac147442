"""Following a region through a clip: given in one frame or more, found in every other."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass

from canvas.sight import Sight
from intarsia.errors import Cancelled, InvalidRequest, ModelDown
from orchestrator.aio import gather_or_cancel, map_ahead
from orchestrator.media.clip.reader import Clip, Frame
from orchestrator.media.clip.writer import LARGEST_SIDE
from orchestrator.media.clips import ClipSource
from orchestrator.models.facts import Facts
from orchestrator.models.tracking import ClipForgotten, Detection, PreparedFrame
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.needs import Needs
from orchestrator.stages.factory import Stages
from orchestrator.workflows.job_memory import clip_memory
from orchestrator.workflows.selection_memory import mask_decoding_bytes
from orchestrator.workflows.sighting import Sighting, find_sighting, shape_sight

log = logging.getLogger(__name__)

MODEL = "sam"

# What the job remembers of the whole track.
_KEY = "track"

# The share of each stage in the progress.
_SHARES: Mapping[str, float] = {"segment": 0.03, "track": 0.95, "inlay": 0.02}
# A model that was restarted has forgotten every clip. A clip is followed so many times before it fails.
_ATTEMPTS = 5
# A file that announces more frames than this is not believed.
_MOST_FRAMES = 100_000_000


@dataclass(frozen=True)
class TrackRegion:
    """A region to follow. Sightings come by rising frame; `frames` counts from the first, None for all."""

    clip: str
    sightings: tuple[Sighting, ...]
    frames: int | None = None
    overlay: bool = False


@dataclass(frozen=True)
class ResolvedTrack:
    """A region to follow, and the weights that follow it through the whole clip."""

    request: TrackRegion
    weights: WeightsRef


@dataclass(frozen=True)
class Tracked:
    """The artifacts of the masks, the track and the overlay, and their totals."""

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


def models(request: TrackRegion) -> tuple[str, ...]:
    """The models that following a region needs."""
    return ("sam",)


def resolve(request: TrackRegion, facts: Facts) -> ResolvedTrack:
    """Pins the weights."""
    return ResolvedTrack(request, WeightsRef.published("sam", facts["sam"]))


async def track_needs(resolved: ResolvedTrack, at: Stages) -> Needs:
    """What tracking a region takes while it runs; its frames, one by one, are a single request."""
    request = resolved.request
    targets = [sighting.target for sighting in request.sightings]
    return Needs(await clip_memory(request.clip, targets, overlay=request.overlay, at=at))


async def track_region(resolved: ResolvedTrack, at: Stages) -> Tracked:
    """Follow the region. It is one stage: the model's memory of a clip cannot be stored, so that there is no
    way to go on in its middle."""
    tracked = await at.memory.recall(_KEY, Tracked)
    if tracked is None:
        tracked = await _track(resolved, at)
        if not at.run.enough.is_set():  # else the rest may still be wanted
            await at.memory.remember(_KEY, tracked)
    return tracked


async def _track(resolved: ResolvedTrack, at: Stages) -> Tracked:
    """Follow the region; from the beginning again if the model has lost its memory, so that the masks are
    the same as if it had not."""
    for _ in range(_ATTEMPTS):
        at.run.expect(_SHARES)
        try:
            return await _follow(resolved, at)
        except ClipForgotten:
            log.warning("sam has forgotten the clip; following it from the beginning")
    raise ModelDown(
        f"sam forgot the clip {_ATTEMPTS} times while it was followed; try again when it is less busy",
        model="sam",
    )


async def _follow(resolved: ResolvedTrack, at: Stages) -> Tracked:
    request, weights = resolved.request, resolved.weights
    first, last = request.sightings[0].frame, request.sightings[-1].frame
    sighted = {sighting.frame: sighting for sighting in request.sightings}
    end = None if request.frames is None else first + request.frames

    targets = [sighting.target for sighting in request.sightings]
    masks = await mask_decoding_bytes(targets, await at.clips.announced_pixels(request.clip), at)

    async with (
        at.clips.open(request.clip, beside=masks) as clip,
        at.clips.track_writer(clip, overlay=request.overlay) as track,
        at.sam.requiring(weights).tracking() as session,
    ):
        _check_overlay(request, clip.info.width, clip.info.height)
        expected = _expected_frames(clip.info.frames, end)

        async def prepare(frame: Frame) -> PreparedFrame | None:
            if frame.number < first or frame.number in sighted:
                return None
            return await session.prepare(frame.number, frame.pixels)

        async def find(frame: Frame, prepared: PreparedFrame | None) -> Sight | Detection | None:
            if prepared is not None:
                return await session.locate(prepared)
            if frame.number < first:
                return None
            with at.stage("segment", of=len(sighted)):
                return await find_sighting(frame, sighted[frame.number], weights, session, at)

        async def write(searched: tuple[Frame, Sight | Detection | None] | None) -> None:
            if searched is None:
                return
            frame, found = searched
            if isinstance(found, Detection):
                latest = max(number for number in sighted if number <= frame.number)
                found = await shape_sight(await found.sight(), sighted[latest])
            await track.add(frame, found)

        at.run.heeds_enough = True
        with at.stage("track") as work:
            before: tuple[Frame, Sight | Detection | None] | None = None
            ahead = await session.lookahead()
            async with (
                aclosing(_frames_before(end, clip)) as frames,
                aclosing(map_ahead(prepare, frames, ahead=ahead)) as prepared_frames,
            ):
                async for frame, prepared in prepared_frames:
                    # The next frames are sent and the one before is written while this one is searched.
                    found, _ = await gather_or_cancel(find(frame, prepared), write(before))
                    before = (frame, found)
                    work.stepped(frame.number + 1, max(expected, frame.number + 1) if expected else 0)
                    if at.run.enough.is_set():
                        break
            await write(before)
        if not at.run.enough.is_set():
            _check_sightings(request, last, track.frames)
        elif not track.seen:
            raise Cancelled("the job was cancelled before the object was seen")
        with at.stage("inlay"):
            files = await track.store()
        return Tracked(
            masks=files.masks,
            track=files.track,
            overlay=files.overlay,
            frames=track.frames,
            seen=track.seen,
            width=clip.info.width,
            height=clip.info.height,
            stage_seconds=dict(at.run.times),
            weights={"sam": weights.digest},
            notes=(*_notes(request, clip.info), *_ended(at.run.enough, track.frames)),
        )


def _notes(request: TrackRegion, clip: Clip) -> tuple[str, ...]:
    """The conversions of the clip, and a warning about its overlay."""
    odd = request.overlay and (clip.width % 2 or clip.height % 2)
    return (*clip.notes, *(["not every player plays an overlay whose sides are odd"] if odd else []))


def _ended(enough: asyncio.Event, frames: int) -> list[str]:
    return [f"the job was cancelled after {frames} frames"] if enough.is_set() else []


def _expected_frames(announced: int | None, end: int | None) -> int:
    """The number of frames there will be, 0 if it is unknown."""
    return min((count for count in (announced, end) if count and 0 < count <= _MOST_FRAMES), default=0)


async def _frames_before(end: int | None, clip: ClipSource) -> AsyncGenerator[Frame, None]:
    """The frames to be searched: those of a clip whose number is less than `end`."""
    async with aclosing(clip.frames()) as frames:
        async for frame in frames:
            yield frame
            if frame.number + 1 == end:
                return


def _check_overlay(request: TrackRegion, width: int, height: int) -> None:
    if request.overlay and max(width, height) > LARGEST_SIDE:
        raise InvalidRequest(
            f"an overlay has at most {LARGEST_SIDE} pixels along a side, and the clip is {width} x {height}; "
            "ask for the masks alone",
            field="overlay",
        )


def _check_sightings(request: TrackRegion, last: int, frames: int) -> None:
    if last < frames:
        return
    n = next(n for n, sighting in enumerate(request.sightings) if sighting.frame >= frames)
    field = f"sightings[{n}].frame"
    raise InvalidRequest(
        f"{field} is {request.sightings[n].frame}, but only {frames} frames were read, counted from 0; "
        "point at the thing in one of those",
        field=field,
        frames=frames,
    )

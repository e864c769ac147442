"""The candidates of a job: made at once as far as memory allows, stored one at a time, and remembered.

A job that runs again makes only those that it does not remember. Its regions are found again, and what was
made of others is left out: the keys name the composition. A run that is told to end early returns those that
are stored by then.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

from intarsia.errors import Cancelled
from orchestrator.aio import gather_or_cancel
from orchestrator.models.sampling import ResolvedSampling
from orchestrator.stages.factory import Stages
from orchestrator.stages.trajectory_memory import ExpectedTime, TrajectoryMemory
from orchestrator.workflows.candidates import StoredCandidate
from orchestrator.workflows.compose import Composition
from orchestrator.workflows.job_memory import candidates_at_once
from orchestrator.workflows.patches import expected_time, total_inlays, total_sheets
from orchestrator.workflows.picture_request import ResolvedRequest
from orchestrator.workflows.sampling import candidate_samplings

T = TypeVar("T")

# Candidates are remembered in at most so many pieces: each is a commit, which waits for the disk.
_PIECES = 3


class CandidateSlots:
    """Limits the candidates of a job: a few are in `memory` at a time, and one is in `storage`."""

    def __init__(self, at_once: int) -> None:
        self.memory = asyncio.Semaphore(at_once)
        self.storage = asyncio.Lock()
        self._laying = asyncio.Lock()

    async def lay(self, work: Callable[..., T], *arguments: Any, **options: Any) -> T:
        """The result of work on the pixels of one candidate, in a thread. It takes many arrays for a moment,
        so that it is done for one at a time."""
        async with self._laying:
            return await asyncio.to_thread(work, *arguments, **options)


@dataclass(frozen=True)
class CandidateTask:
    """One candidate to make: its sampling, the key below which its trajectories are kept, and their times."""

    key: str
    sampling: ResolvedSampling
    time: ExpectedTime
    slots: CandidateSlots

    def trajectory(self, sheet: str, at: Stages) -> TrajectoryMemory:
        """What is kept of the trajectory of a sheet."""
        kept = at.trajectory(self.key + sheet)
        kept.expect(self.time, self.sampling.steps, at.checkpoint_limits)
        return kept


class MakeCandidate(Protocol):
    """Makes a candidate and stores it."""

    async def __call__(self, task: CandidateTask) -> StoredCandidate: ...


@dataclass(frozen=True)
class StoredCandidates:
    """Candidates that are remembered together."""

    candidates: tuple[StoredCandidate, ...]


async def make_candidates(
    resolved: ResolvedRequest, composition: Composition, make: MakeCandidate, at: Stages
) -> list[StoredCandidate]:
    """Every candidate, in order; if the run is told that it has enough, those that are stored by then.

    Raises `Cancelled` if none is.
    """
    series = _CandidateSeries(resolved, composition, make, at)
    at.run.heeds_enough = True
    await series.recall()
    if not at.run.enough.is_set():
        await _finish_or(at.run.enough, series)
    if not series.stored:
        raise Cancelled("the job was cancelled before the first candidate was made")
    return [series.stored[number] for number in sorted(series.stored)]


class _CandidateSeries:
    """The candidates that are `stored` by now, by number."""

    def __init__(
        self, resolved: ResolvedRequest, composition: Composition, make: MakeCandidate, at: Stages
    ) -> None:
        self.stored: dict[int, StoredCandidate] = {}
        self._resolved, self._composition, self._make, self._at = resolved, composition, make, at
        self._samplings = candidate_samplings(resolved.sampling, resolved.request.candidates)
        self._key = composition.digest[:16]
        self._pieces = _pieces(self._key, len(self._samplings))

    async def recall(self) -> None:
        """Takes those that an earlier run of the job has made."""
        for key, numbers in self._pieces.items():
            made = await self._at.memory.recall(key, StoredCandidates)
            if made is not None:
                self.stored.update(zip(numbers, made.candidates, strict=True))
                self._skip(len(numbers))

    async def finish(self) -> None:
        """Makes the others."""
        pieces = {key: numbers for key, numbers in self._pieces.items() if numbers[0] not in self.stored}
        if not pieces:
            return
        at_once = candidates_at_once(self._resolved.request, self._composition)
        time = await expected_time(self._resolved, self._composition, at_once, self._at)
        slots = CandidateSlots(at_once)
        await gather_or_cancel(*(self._piece(key, pieces[key], time, slots) for key in pieces))

    async def _piece(self, key: str, numbers: range, time: ExpectedTime, slots: CandidateSlots) -> None:
        async def together() -> StoredCandidates:
            return StoredCandidates(
                tuple(await gather_or_cancel(*(self._one(number, time, slots) for number in numbers)))
            )

        await self._at.once(key, together, StoredCandidates)
        for number in numbers:
            await self._at.memory.forget_below(self._key_of(number))

    async def _one(self, number: int, time: ExpectedTime, slots: CandidateSlots) -> StoredCandidate:
        task = CandidateTask(self._key_of(number), self._samplings[number], time, slots)
        self.stored[number] = made = await self._make(task)
        return made

    def _key_of(self, number: int) -> str:
        return f"{self._key} candidate {number}: "

    def _skip(self, candidates: int) -> None:
        sheets, of = self._composition.sheets * candidates, total_sheets(self._resolved, self._composition)
        for stage in ("encode", "denoise", "decode"):
            self._at.run.skip(stage, sheets, of=of)
        self._at.run.skip("inlay", sheets + candidates, of=total_inlays(self._resolved, self._composition))


async def _finish_or(enough: asyncio.Event, series: _CandidateSeries) -> None:
    """Finishes the series, or ends it as soon as the event is set."""
    work, told = asyncio.ensure_future(series.finish()), asyncio.ensure_future(enough.wait())
    try:
        await asyncio.wait({work, told}, return_when=asyncio.FIRST_COMPLETED)
    finally:
        told.cancel()
        unfinished = work.cancel()
        await asyncio.wait({work, told})
    if not (unfinished and work.cancelled()):
        work.result()


def _pieces(key: str, count: int) -> Mapping[str, range]:
    """The numbers of the candidates that are remembered together, by their keys, which begin with `key`:
    about equally many in each."""
    size = math.ceil(count / _PIECES)
    pieces = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return {f"{key} candidates {numbers[0]} to {numbers[-1]}": numbers for numbers in pieces}

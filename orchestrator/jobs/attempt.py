"""Attempts: one execution of a claimed job, from its first stage to the note of how it ended."""

from __future__ import annotations

import asyncio
import json
import logging
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, TypeAlias

from intarsia.errors import Cancelled, IntarsiaError, InternalError, ModelDown, NotReady, TimeLimit
from orchestrator import logs
from orchestrator.deadline import Deadline
from orchestrator.jobs.bound_recipe import BoundRecipe
from orchestrator.jobs.codec import from_plain, to_plain
from orchestrator.jobs.entries import failure_text, job_of, progress_at_the_end, progress_of, text_of
from orchestrator.jobs.held_memory import HeldMemory
from orchestrator.jobs.job import Job, Kind, State
from orchestrator.jobs.ledger.entry import Entry, Hold, Lost, Reference, ReferenceKind, Wish
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.persistence import until_written
from orchestrator.jobs.queue import RunningJob
from orchestrator.jobs.watch_leases import unwatched
from orchestrator.runs.run import Progress, Run
from orchestrator.stages.memory import artifacts_in

log = logging.getLogger(__name__)

_PARTIAL_SECONDS = 30.0  # a job that is to end with what it has is ended after so long, without
_PAUSE_SECONDS = 10.0  # a job that is to pause stops after so long, even if it has remembered nothing


@dataclass(frozen=True)
class _HandBack:
    """The reason to stop of an attempt whose job goes on later."""

    state: State  # QUEUED or PAUSED


@dataclass(frozen=True)
class _End:
    """How an attempt ended; a state that is not final hands the job back."""

    state: State
    result: Any = None
    failure: IntarsiaError | None = None


_Reason: TypeAlias = IntarsiaError | _HandBack


class Attempt:
    """Carries out a job that this process holds, until it ends, is handed back, or is lost to another one."""

    def __init__(
        self,
        hold: Hold,
        entry: Entry,
        recipe: BoundRecipe | None,
        ledger: Ledger,
        *,
        changed: Callable[[], None],
        eased: Callable[[], None],
        idle_limit: float,
        most_interruptions: int,
    ) -> None:
        """`changed` is called after every change of the progress, `eased` when others may run beside the job
        that could not before.

        `idle_limit`: seconds after which a batch job that makes no progress is ended. A job that was
        interrupted `most_interruptions` times in a row is not begun again.
        """
        self.hold, self.entry = hold, entry
        self.place = RunningJob(
            entry.name, entry.method, entry.kind, entry.memory, entry.requests, entry.interruptions
        )
        self._recipe, self._ledger, self._idle_limit = recipe, ledger, idle_limit
        self._most_interruptions = most_interruptions
        self._changed, self._eased = changed, eased
        self._began = self._advanced = time.monotonic()
        left = None if entry.time_limit is None else entry.time_limit - entry.spent
        self._run = Run(Deadline.after(left), self._moved, self._shrink)
        self._before = progress_of(entry.progress)  # how far an earlier attempt was
        self._reported = self.progress
        self._work: asyncio.Future[Any] | None = None
        self._stopped_by: _Reason | None = None
        self.is_lost = self._is_leaving = False
        self._next_state: State | None = None  # the state to be handed back in at the next point
        self._keeps_partial = False
        self._timers: list[asyncio.TimerHandle] = []
        self._pause: asyncio.TimerHandle | None = None
        if left is not None:
            late = TimeLimit(
                f"the job was ended after it had run for {entry.time_limit:g} s; allow more time, or ask "
                "for less"
            )
            self._later(left, late)

    @property
    def progress(self) -> Progress:
        """The progress as it is now, which never falls behind what an earlier attempt had reported."""
        now, before = self._run.progress, self._before
        if not now.stage:
            return before
        return replace(
            now, fraction=max(now.fraction, before.fraction), preview=now.preview or before.preview
        )

    @property
    def spent(self) -> float:
        """The seconds for which the job has run, over all attempts."""
        return self.entry.spent + time.monotonic() - self._began

    @property
    def _is_hopeless(self) -> bool:
        """True if the job was interrupted so often that it must be what ends the process."""
        return self.entry.interruptions >= self._most_interruptions

    def job(self) -> Job:
        """The job as it is now."""
        return job_of(self.entry, self._recipe, self.progress)

    def stop(self, why: IntarsiaError) -> None:
        """Ends the job with this failure as soon as its recipe has ended."""
        self._stop(why)

    def hand_back(self) -> None:
        """Lets others go on with the job as soon as its recipe has ended."""
        self._stop(_HandBack(State.QUEUED))

    def hand_back_soon(self, state: State = State.QUEUED) -> None:
        """Hands the job back when it remembers something next."""
        self._next_state, self._pause = state, None

    def leave(self) -> None:
        """Prepares for the end of the server: a job whose model goes too is handed back and does not fail."""
        self._is_leaving = True
        if self.entry.kind is Kind.BATCH:
            self.hand_back_soon()

    def lose(self) -> None:
        """Stops at once, and writes nothing any more: another owner has the job."""
        self.is_lost = True
        self._cancel()

    def obey(self, wish: Wish) -> None:
        """Does what the job's caller wants of it."""
        if wish is Wish.PAUSE and self._next_state is None:
            self.hand_back_soon(State.PAUSED)
            self._pause = self._later(_PAUSE_SECONDS, _HandBack(State.PAUSED))
        elif wish is Wish.NOTHING and self._pause is not None:
            self._pause.cancel()
            self._next_state = self._pause = None
        elif wish is Wish.UNWATCHED:
            self.stop(unwatched(self.entry.watched_within))
        elif wish in (Wish.CANCEL, Wish.KEEP_PARTIAL):
            self._keeps_partial = wish is Wish.KEEP_PARTIAL
            self._cancel_on_request()

    async def report(self) -> bool:
        """Writes the progress to the ledger and obeys what is wanted; False if the progress has not changed.

        Ends a batch job that has made none for too long.
        """
        if self.entry.kind is Kind.BATCH and time.monotonic() - self._advanced > self._idle_limit:
            self.stop(
                TimeLimit(
                    f"the job was ended because it made no progress for {self._idle_limit:g} s; look at the "
                    "server's log for what it waited for, then retry it"
                )
            )
        progress = self.progress
        if progress == self._reported or self._work is None or self._work.done():
            return False
        preview = [Reference(progress.preview, ReferenceKind.PREVIEW)] if progress.preview else []
        try:
            wish = await self._ledger.report(
                self.hold, text_of(progress), spent=self.spent, references=preview
            )
        except Lost:
            self.lose()
        else:
            self._reported = progress
            self.obey(wish)
        return True

    async def carry_out(self) -> Entry | None:
        """Runs the recipe and writes how it ended. Returns the entry then; None if the job was lost."""
        log.info("started", extra={"facts": {"attempt": self.entry.attempt}})
        self._work = asyncio.ensure_future(self._result())
        if self.is_lost or self._stopped_by is not None:
            self._cancel()
        self.obey(self.entry.wanted)
        if self._is_hopeless:
            self.stop(_interrupted(self.entry.interruptions))
        await asyncio.wait({self._work})
        for timer in self._timers:
            timer.cancel()
        end = await self._end(self._work)
        # A task, and a traceback, hold the frames they went through, and those hold pictures.
        self._work = None
        if end is None:
            return None
        try:
            return await until_written(lambda: self._write(end))
        except Lost:
            return None

    async def _result(self) -> Any:
        entry, recipe = self.entry, self._recipe
        if recipe is None or entry.recipe != str(recipe.version):
            has = "has no such recipe" if recipe is None else f"has version {recipe.version}"
            raise NotReady(
                f"the job was written for version {entry.recipe} of {entry.method}, and this server {has}; "
                "send the request again with a new request id",
                method=entry.method,
            )
        return await recipe.carry_out(self._request(recipe), self._run, await self._memory())

    async def _partial(self) -> Any:
        """A result of what is finished; None if there is nothing, or if none can be made."""
        recipe = self._recipe
        if not self._keeps_partial or recipe is None or recipe.partial is None:
            return None
        if self._run.enough.is_set() or self._is_hopeless:
            return None
        memory = await self._memory()
        making = asyncio.ensure_future(recipe.partial(self._request(recipe), self._run, memory))
        await asyncio.wait({making})
        if (error := making.exception()) is not None:
            log.warning("nothing is kept of the job: %s", logs.presentable(error))
            return None
        return making.result()

    def _request(self, recipe: BoundRecipe) -> Any:
        try:
            return from_plain(recipe.request, json.loads(self.entry.request))
        except ValueError as error:
            raise NotReady(
                f"this server cannot read the request that was stored for the job ({error}); send it again "
                "with a new request id",
                method=self.entry.method,
            ) from None

    async def _memory(self) -> HeldMemory:
        known = await until_written(lambda: self._ledger.memory(self.entry.name))
        return HeldMemory(self._ledger, self.hold, known, self._remembered)

    async def _end(self, work: asyncio.Future[Any]) -> _End | None:
        """How the work ended; None if the job was lost."""
        error = None if work.cancelled() else work.exception()
        if self.is_lost or isinstance(error, Lost):
            return None
        if not work.cancelled() and error is None:
            if self._run.enough.is_set():
                return _End(State.CANCELLED, work.result(), _on_request())
            return _End(State.SUCCEEDED, work.result())
        if isinstance(error, Cancelled) and self._run.enough.is_set():
            return _End(State.CANCELLED, failure=_on_request())
        why = self._stopped_by
        if why is None:
            why = (
                ModelDown("the server stopped before this job was done")
                if error is None
                else logs.presentable(error)
            )
        if isinstance(why, _HandBack):
            return _End(why.state)
        if isinstance(why, ModelDown) and self._is_leaving:
            return _End(State.QUEUED)
        why.__traceback__ = why.__cause__ = why.__context__ = None
        # Only a job that its caller cancelled is cancelled; a model that reports it by itself has failed.
        if self._stopped_by is None or not isinstance(why, Cancelled):
            return _End(State.FAILED, failure=why)
        return _End(State.CANCELLED, await self._partial(), why)

    async def _write(self, end: _End) -> Entry:
        if not end.state.is_final:
            return await self._ledger.hand_back(self.hold, spent=self.spent, state=end.state)
        plain = None if end.result is None else to_plain(end.result)
        return await self._ledger.end(
            self.hold,
            end.state,
            spent=self.spent,
            progress=text_of(progress_at_the_end(self.progress, end.state)),
            result=None if end.result is None else json.dumps(plain, ensure_ascii=False),
            failure=None if end.failure is None else failure_text(end.failure),
            references=[Reference(name, ReferenceKind.RESULT) for name in artifacts_in(plain)],
        )

    def _cancel_on_request(self) -> None:
        """Cancels the job. A recipe that is making what it can keep ends by itself, or is ended soon."""
        if not (self._keeps_partial and self._run.heeds_enough):
            self.stop(_on_request())
        elif not self._run.enough.is_set():
            self._run.enough.set()
            self._later(_PARTIAL_SECONDS, _on_request())

    def _stop(self, why: _Reason) -> None:
        if self._stopped_by is None:
            self._stopped_by = why
            self._cancel()

    def _cancel(self) -> None:
        if self._work is not None:
            self._work.cancel()

    def _later(self, seconds: float, why: _Reason) -> asyncio.TimerHandle:
        self._timers.append(asyncio.get_running_loop().call_later(max(0.0, seconds), self._stop, why))
        return self._timers[-1]

    def _remembered(self) -> None:
        self._advanced = time.monotonic()
        if self.place.interruptions:
            self.place.interruptions = 0
            self._eased()
        if self._next_state is not None:
            self._stop(_HandBack(self._next_state))

    def _moved(self) -> None:
        self._advanced = time.monotonic()
        self._changed()

    def _shrink(self, memory: int) -> None:
        self.place.shrink(memory)
        self._eased()


def _on_request() -> Cancelled:
    return Cancelled("the job was cancelled on request")


def _interrupted(times: int) -> InternalError:
    return InternalError(
        f"the job was ended because the server stopped during each of its last {times} attempts, and nothing "
        "was finished in between; look at the server's log for what stopped it, then retry the job",
        interruptions=times,
    )

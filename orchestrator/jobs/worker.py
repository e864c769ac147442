"""The worker of a process: it claims jobs, carries them out, and keeps what it holds until it ends."""

from __future__ import annotations

import asyncio
import logging
import os
import secrets
import socket
import time
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextvars import copy_context
from dataclasses import dataclass
from functools import partial

from intarsia.errors import IntarsiaError
from orchestrator import logs, metrics
from orchestrator.aio import wait_event
from orchestrator.jobs.attempt import Attempt
from orchestrator.jobs.bound_recipe import BoundRecipe
from orchestrator.jobs.entries import failure_of
from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.entry import ClaimableJob, Entry, Hold
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.listeners import Listeners
from orchestrator.jobs.queue import JobQueue
from orchestrator.jobs.watch_leases import CHECK_SECONDS, WatchLeases

log = logging.getLogger(__name__)

_BETWEEN_REPORTS = 0.5  # seconds; progress is written to the ledger at most twice a second
_LAST_WRITES_SECONDS = 3.0  # for jobs that are stopped at the end, to be handed back
_LAST_WORDS_SECONDS = 1.0  # to tell other processes of them


@dataclass(frozen=True)
class WorkLimits:
    """Limits of attempts. Times in seconds."""

    lease: float = 15.0
    idle: float = 3600.0  # a batch job that makes no progress for so long is ended
    interruptions: int = 10  # a job that was interrupted so often in a row fails


class Worker:
    """Runs as many of the ledger's jobs as the queue allows. Everything happens on one event loop."""

    def __init__(
        self,
        ledger: Ledger,
        recipes: Mapping[str, BoundRecipe],
        queue: JobQueue,
        listeners: Listeners,
        limits: WorkLimits,
    ) -> None:
        self.owner = f"{socket.gethostname()}/{os.getpid()}/{secrets.token_hex(4)}"
        self.attempts: dict[str, Attempt] = {}  # by job, those that run here
        self.watch_leases = WatchLeases(ledger, listeners)
        self.broken = asyncio.Event()  # set when a part of it has ended by a fault, which is in the log
        self._ledger, self._recipes, self._queue = ledger, recipes, queue
        self._listeners, self._limits = listeners, limits
        self._look, self._over = asyncio.Event(), asyncio.Event()
        self._changed: set[str] = set()  # jobs that run here and that somebody may want something of
        self._succeeded = 0
        self._is_draining = False
        self._claiming: asyncio.Future[None] | None = None
        self._loops: list[asyncio.Future[None]] = []
        queue.watch(self.look)

    def start(self) -> None:
        """Begins to claim jobs."""
        self._claiming = asyncio.ensure_future(self._claim_forever())
        self._loops = [
            asyncio.ensure_future(self._hear_changes()),
            asyncio.ensure_future(self._ledger.exchange()),
            asyncio.ensure_future(self._every(self._limits.lease / 3, self._renew)),
            asyncio.ensure_future(self._every(_BETWEEN_REPORTS, self._report)),
            asyncio.ensure_future(self._every(CHECK_SECONDS, self.watch_leases.check)),
        ]
        for task in (self._claiming, *self._loops):
            task.add_done_callback(self._check_fault)
        self.look()

    def look(self) -> None:
        """Looks soon whether another job may start."""
        self._look.set()

    async def drain(self, grace: float) -> bool:
        """Claims nothing more, and returns when no job runs here. True if one succeeded meanwhile.

        Interactive jobs have `grace` seconds to finish. Batch jobs are handed back at their next point, and
        all that are left then where they are: others go on with them.
        """
        self._is_draining = True
        self.look()
        before, until = self._succeeded, time.monotonic() + grace
        for attempt in self.attempts.values():
            attempt.leave()
        await self._wait_until(until)
        for attempt in self.attempts.values():
            attempt.hand_back()
        await self._wait_until(max(until, time.monotonic() + _LAST_WRITES_SECONDS))
        await self._ledger.told(within=_LAST_WORDS_SECONDS)
        for loop in self._loops:
            loop.cancel()
        await asyncio.gather(*self._loops, return_exceptions=True)
        return self._succeeded > before

    async def _wait_until(self, moment: float) -> None:
        """Returns when nothing runs here and nothing is being claimed, but not later than a moment."""
        while self.attempts or not (self._claiming is None or self._claiming.done()):
            self._over.clear()
            if not await wait_event(self._over, within=moment - time.monotonic()):
                return

    async def _claim_forever(self) -> None:
        pause = first = 0.25
        alone = not self._ledger.is_shared
        while not self._is_draining:
            # Now and then without a reason too: the lease of another process may have run out.
            await wait_event(self._look, within=self._limits.lease / 3)
            self._look.clear()
            try:
                if alone and (left := await self._ledger.take_back_all()):
                    log.info("%d jobs of the process before go on", len(left))
                alone = False
                await self._claim_all()
                pause = first
            except IntarsiaError as error:
                if pause == first:
                    log.warning("no jobs are claimed for now: %s", error)
                await wait_event(self._look, within=pause)
                pause = min(2 * pause, 4.0)
                self.look()
        self._over.set()

    async def _claim_all(self) -> None:
        while not self._is_draining:
            claimed = await self._ledger.claim(self.owner, self._limits.lease, self._choose)
            if claimed is None:
                break
            self._begin(*claimed)
        metrics.JOBS.labels(State.QUEUED.value).set(await self._ledger.waiting())
        self._queue.report()

    def _choose(self, waiting: Sequence[ClaimableJob]) -> str | None:
        return self._queue.choose([job for job in waiting if job.name not in self.attempts])

    def _begin(self, hold: Hold, entry: Entry) -> None:
        attempt = Attempt(
            hold,
            entry,
            self._recipes.get(entry.method),
            self._ledger,
            changed=partial(self._listeners.tell, entry.name),
            eased=self.look,
            idle_limit=self._limits.idle,
            most_interruptions=self._limits.interruptions,
        )
        if self._is_draining:
            attempt.hand_back()
        self.attempts[entry.name] = attempt
        self._queue.add(attempt.place)
        if entry.attempt == 1 and entry.started is not None:
            metrics.JOB_WAIT_SECONDS.observe(entry.started - entry.created)
        # Task and callback both work in the job's name, as far as the log is concerned.
        context = copy_context()
        context.run(logs.job.set, entry.name)
        task = context.run(asyncio.ensure_future, attempt.carry_out())
        task.add_done_callback(partial(self._ended, attempt), context=context)
        self._listeners.tell(entry.name)

    def _check_fault(self, loop: asyncio.Future[None]) -> None:
        if not loop.cancelled() and (fault := loop.exception()) is not None:
            log.error("a part of the worker has ended; no jobs are claimed any more", exc_info=fault)
            self._is_draining = True
            self.broken.set()

    def _ended(self, attempt: Attempt, task: asyncio.Future[Entry | None]) -> None:
        """Makes room for others, however the attempt ended."""
        name = attempt.entry.name
        self._queue.remove(attempt.place)
        del self.attempts[name]
        if (error := task.exception()) is not None:
            log.error("the end of the job could not be written", exc_info=error)
        elif (entry := task.result()) is None:
            log.warning("lost to another owner", extra={"facts": {"job": name}})
        else:
            _note(entry)
            self._succeeded += entry.state is State.SUCCEEDED
        self._listeners.tell(name, over=True)
        self._over.set()
        self.look()

    async def _hear_changes(self) -> None:
        async for name in self._ledger.changes():
            if not name:
                self._listeners.tell_all()
                self._changed |= set(self.attempts)
                self.look()
            elif name in self.attempts:
                self._changed.add(name)
            else:
                self._listeners.tell(name)
                self.look()

    async def _every(self, seconds: float, work: Callable[[], Awaitable[None]]) -> None:
        failed = False
        while True:
            await asyncio.sleep(seconds)
            try:
                await work()
                failed = False
            except IntarsiaError as error:
                if not failed:
                    log.warning("the jobs database is not up to date for now: %s", error)
                failed = True

    async def _renew(self) -> None:
        held = {attempt.hold: attempt for attempt in self.attempts.values()}
        wishes = await self._ledger.renew(held, self._limits.lease)
        for hold, attempt in held.items():
            if hold in wishes:
                attempt.obey(wishes[hold])
            elif self.attempts.get(hold.name) is attempt:
                attempt.lose()

    async def _report(self) -> None:
        changed, self._changed = self._changed, set()
        for attempt in list(self.attempts.values()):
            if not await attempt.report() and attempt.entry.name in changed:
                entry = await self._ledger.get(attempt.entry.caller, attempt.entry.name)
                if (entry.owner, entry.attempt) == (attempt.hold.owner, attempt.hold.attempt):
                    attempt.obey(entry.wanted)


def _note(entry: Entry) -> None:
    """Writes to log and metrics how an attempt ended."""
    facts: dict[str, object] = {"job": entry.name, "state": entry.state.value}
    if not entry.state.is_final:
        log.info("handed back", extra={"facts": facts})
        return
    metrics.JOBS_ENDED.labels(entry.method, entry.state.value).inc()
    if entry.failure is not None:
        failure = failure_of(entry.failure)
        facts |= {"reason": failure.reason, "why": failure.message}
    log.info("ended", extra={"facts": facts})

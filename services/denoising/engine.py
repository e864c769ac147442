"""The step loop: owns batching, fairness, cancel, deadlines, progress and previews.

One thread runs it and alone touches the network. Requests come in through a lock-guarded line; whoever
sent one is told of each step, and asked at every step whether the answer is still wanted.
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

import torch
from torch import Tensor

from services.adapters.cache import AdapterCache, AdapterUse
from services.denoising.batch import next_batch
from services.denoising.costs import Costs
from services.denoising.family import Family, Request
from services.denoising.memory_budget import state_bytes
from services.denoising.trajectory import Trajectory, joined
from services.refusal import Refusal, refusal_for

log = logging.getLogger(__name__)

_URGENT = 8  # questions whether the loop is alive, at a time
_QUEUE_CHECK_SECONDS = 0.05  # seconds between two


class Subscriber(Protocol):
    """Whoever sent a request. Called from the loop's thread only; none of these may raise or block."""

    def gone(self) -> bool:
        """True once nobody waits for the answer any more."""

    def beat(self, done: int, of: int, preview: Tensor | None) -> None:
        """A step was taken; `preview` is the clean latents as foreseen, if asked for."""

    def finish(self, latents: Tensor, steps: int) -> None:
        """The way is over; `latents` is (channels, height, width)."""

    def refuse(self, refusal: Refusal) -> None:
        """It ended otherwise."""


class Meter(Protocol):
    """Where the loop writes what it does."""

    def under_way(self, running: int, waiting: int) -> None:
        """How many trajectories step, and how many wait for room."""

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        """A forward pass and all that belongs to it."""

    def ended(self, how: str) -> None:
        """`finished`, `cancelled`, `expired`, `failed` or `refused`."""


@dataclass(frozen=True)
class EngineLimits:
    """How much may be under way."""

    memory: int  # bytes for all trajectories and the largest pass together
    running: int = 64  # trajectories stepping in turn
    waiting: int = 256  # trajectories admitted but not yet stepping
    step_seconds: float = 120.0  # the longest step that others can be kept waiting for


@dataclass(eq=False)
class _Entry:
    """A request that was let in."""

    request: Request
    subscriber: Subscriber
    deadline: float
    held: int
    uses: tuple[AdapterUse, ...]
    urgent: bool = False
    trajectory: Trajectory | None = None


class Engine:
    """Steps many trajectories together through one network."""

    def __init__(
        self,
        family: Family,
        costs: Costs,
        limits: EngineLimits,
        meter: Meter,
        adapters: AdapterCache,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.adapters = adapters
        self._family, self._costs, self._limits, self._meter = family, costs, limits, meter
        self._clock = clock
        self._changed = threading.Condition()
        self._queue: deque[_Entry] = deque()  # guarded by _changed
        self._held = 0  # guarded by _changed
        self._urgent = 0  # guarded by _changed
        self._closing = False  # guarded by _changed
        self._live: list[_Entry] = []  # the loop's own
        self._queue_checked = float("-inf")  # the loop's own
        self._pass_began = (0.0, 0.0)  # when, and how long it should take; written by the loop alone
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Runs the loop in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="step-loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Admits nobody else, lets everything under way finish, and ends the loop."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join()

    def now(self) -> dict[str, float]:
        """For how long the pass under way has been running, and how long it should take, in seconds."""
        started, expected = self._pass_began
        return {"running_for": round(self._clock() - started, 3) if started else 0.0, "expected": expected}

    def facts(self) -> dict[str, Any]:
        """What is known of passes: the one under way, what they cost by latent area and rows, and how full
        the adapter cache is."""
        passes = {"step": self.now(), "passes": self._costs.as_facts()}
        return {**passes, "adapters": self.adapters.facts()}

    def admit(
        self,
        request: Request,
        subscriber: Subscriber,
        deadline: float = float("inf"),
        *,
        urgent: bool = False,
    ) -> None:
        """Admits a request; raises Refusal if there is no memory, or an adapter is not in the cache.
        `deadline` is by the loop's clock.

        An urgent request is let in however full it is and leads the next pass: a question whether the
        loop is alive must not wait behind the work. Only a few such questions are taken at a time.
        """
        _, height, width = request.latents
        rows, area = len(request.branches), height * width
        needs, held = self._costs.bytes_for(rows, area), state_bytes(request)
        self._check_size(request, needs + held, self._costs.seconds_for(rows, area))
        with self._changed:
            if self._closing:
                raise Refusal("MODEL_DOWN", "this model is being unloaded; ask another replica")
            if urgent:
                full = self._urgent >= _URGENT
            else:
                full = len(self._queue) >= self._limits.waiting
                full = full or self._held + held + needs > self._limits.memory
            if full:
                self._meter.ended("refused")
                raise Refusal("BUSY", f"no room beside {len(self._queue)} waiting requests; try again later")
            self.adapters.pin(request.adapters)
            self._held += held
            self._urgent += urgent
            entry = _Entry(request, subscriber, deadline, held, request.adapters, urgent)
            if urgent:
                self._queue.appendleft(entry)
            else:
                self._queue.append(entry)
            self._changed.notify_all()

    def step(self) -> bool:
        """Lets in who waits, sends off who left, and takes one pass; False if there is nothing to do."""
        self._drop_abandoned()
        self._start_waiting()
        self._report()
        if not self._live:
            return False
        started = self._clock()
        entries = {id(entry.trajectory): entry for entry in self._live}
        batch = next_batch([_running(entry) for entry in self._live], self._rows_for)
        self._pass(batch, [entries[id(trajectory)] for trajectory in batch])
        self._meter.stepped(sum(t.rows for t in batch), len(batch), self._clock() - started)
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._queue or self._live or self._closing):
                    self._changed.wait()
                if self._closing and not (self._queue or self._live):
                    return
            try:
                self.step()
            except Exception as fault:  # the loop outlives whatever was not foreseen, with nobody left in it
                log.exception("the step loop failed; everyone in it is sent away")
                self._fail_all(fault)

    def _check_size(self, request: Request, memory: int, seconds: float) -> None:
        _, height, width = request.latents
        size = f"source of {width} x {height} latents"
        if memory > self._limits.memory:
            raise Refusal(
                "INVALID_FIELD",
                f"{size} needs about {_mib(memory)} MiB, more than the {_mib(self._limits.memory)} MiB this "
                "model may use; choose a smaller working size",
            )
        if seconds > self._limits.step_seconds:
            raise Refusal(
                "INVALID_FIELD",
                f"{size} would take about {seconds:.0f} s a step, more than the "
                f"{self._limits.step_seconds:.0f} s that others can be kept waiting; choose a smaller "
                "working size",
            )

    def _drop_abandoned(self) -> None:
        """Whoever left, while stepping or while waiting, makes room at once.

        Those who wait are many and asking each takes its time, so they are asked a few times a second.
        """
        if self._clock() - self._queue_checked >= _QUEUE_CHECK_SECONDS:
            self._queue_checked = self._clock()
            with self._changed:
                waiting = tuple(self._queue)
            left = {id(entry) for entry in waiting if self._abandoned(entry)}
            if left:
                with self._changed:
                    self._queue = deque(entry for entry in self._queue if id(entry) not in left)
        for entry in tuple(self._live):
            if self._abandoned(entry):
                self._live.remove(entry)

    def _start_waiting(self) -> None:
        with self._changed:
            arrived: list[_Entry] = []
            while self._queue and (
                self._queue[0].urgent or len(self._live) + len(arrived) < self._limits.running
            ):
                arrived.append(self._queue.popleft())
        for entry in arrived:
            if self._abandoned(entry):
                continue
            try:
                entry.trajectory = Trajectory(
                    entry.request, self._family.scheduler_config, self._family.device
                )
            except Exception as fault:  # of this request alone
                self._fail(entry, fault)
                continue
            if entry.urgent:
                entry.trajectory.turn = -1
            self._live.append(entry)

    def _pass(self, batch: list[Trajectory], entries: list[_Entry]) -> None:
        """One forward pass for all, then each one's own step: what fails there is nobody else's business."""
        rows = sum(trajectory.rows for trajectory in batch)
        _, height, width = batch[0].request.latents
        self._pass_began = (self._clock(), self._costs.seconds_for(rows, height * width))
        try:
            with torch.inference_mode(), self.adapters.applied(batch[0].request.adapters):
                answers = self._family.predict(joined(batch)).split([t.rows for t in batch])
        except Exception as fault:  # whatever the network throws ends these, not the loop
            for entry in entries:
                self._fail(entry, fault)
            return
        finally:
            self._pass_began = (0.0, 0.0)
        for entry, own in zip(entries, answers, strict=True):
            try:
                with torch.inference_mode():
                    _running(entry).advance(own)
                    if self._family.device.type == "cuda":
                        torch.cuda.synchronize(self._family.device)  # a beat is told of what was done
                    self._notify(entry)
            except Exception as fault:  # of this request alone
                self._fail(entry, fault)

    def _rows_for(self, area: int) -> int:
        """Rows worth a pass at this area, as far as memory goes."""
        with self._changed:
            left = self._limits.memory - self._held
        return min(self._costs.rows_for(area), left // self._costs.bytes_for(1, area))

    def _abandoned(self, entry: _Entry) -> bool:
        try:
            gone = entry.subscriber.gone()
        except Exception as fault:  # who cannot be asked cannot be answered either
            log.exception("a request could not be asked whether it is still wanted")
            self._release(entry, "failed", refusal_for(fault))
            return True
        if gone:
            self._release(entry, "cancelled", Refusal("CANCELLED", "nobody waits for this any more"))
            return True
        if self._clock() >= entry.deadline:
            self._release(entry, "expired", Refusal("TIME_LIMIT", "the time for this request is up"))
            return True
        return False

    def _notify(self, entry: _Entry) -> None:
        trajectory = _running(entry)
        if trajectory.done < trajectory.steps:
            every = entry.request.preview_every
            wanted = every and trajectory.done % every == 0
            entry.subscriber.beat(
                trajectory.done, trajectory.steps, trajectory.clean_estimate() if wanted else None
            )
            return
        latents = trajectory.latents[0].cpu()
        if not bool(torch.isfinite(latents).all()):
            raise Refusal("INTERNAL", "the network answered numbers that are not finite")
        self._live.remove(entry)
        self._release(entry, "finished", None)
        entry.subscriber.finish(latents, trajectory.steps)

    def _fail(self, entry: _Entry, fault: Exception) -> None:
        if not isinstance(fault, Refusal):
            log.error("a request failed", exc_info=fault)
        if entry in self._live:
            self._live.remove(entry)
        self._release(entry, "failed", refusal_for(fault))

    def _fail_all(self, fault: Exception) -> None:
        with self._changed:
            waiting = list(self._queue)
            self._queue.clear()
        for entry in (*self._live, *waiting):
            self._release(entry, "failed", refusal_for(fault))
        self._live.clear()

    def _release(self, entry: _Entry, how: str, refusal: Refusal | None) -> None:
        """Gives back what a entry holds, once, and tells why it ended unless it finished."""
        with self._changed:
            self._held -= entry.held
            self._urgent -= entry.urgent
            self.adapters.unpin(entry.uses)
            entry.held, entry.urgent, entry.uses = 0, False, ()
        self._meter.ended(how)
        self._report()
        if refusal is None:
            return
        try:
            entry.subscriber.refuse(refusal)
        except Exception:  # nobody else's business
            log.exception("a request could not be told why it ended")

    def _report(self) -> None:
        with self._changed:
            waiting = len(self._queue)
        self._meter.under_way(len(self._live), waiting)


def _running(entry: _Entry) -> Trajectory:
    if entry.trajectory is None:
        raise RuntimeError("a request that has no place yet cannot step")
    return entry.trajectory


def _mib(size: int) -> int:
    return max(round(size / 2**20), 1)

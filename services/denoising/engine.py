"""The step loop: batching, fairness, cancel, deadlines, progress, previews and checkpoints.

One thread runs it, and only that thread uses the network. Before every step it drops the requests whose reply
is no longer wanted, and after it reports the step. Neither subscribers nor the meter may make it wait.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor

from services.acceleration.passes import Passes
from services.adapters.cache import AdapterCache
from services.denoising.capacity import capacity_facts
from services.denoising.costs import Costs
from services.denoising.device import wait_for
from services.denoising.family import Family, Request
from services.denoising.memory_budget import state_bytes
from services.denoising.memory_guard import MemoryGuard
from services.denoising.meter import GuardedMeter, Meter
from services.denoising.pass_planner import PassPlanner, PlannedPass
from services.denoising.queue import AdmissionQueue, EngineLimits, Entry, Subscriber
from services.denoising.trajectory import Trajectory
from services.refusal import Refusal, refusal_for

__all__ = ["Engine", "EngineLimits", "Subscriber"]

log = logging.getLogger(__name__)

_QUEUE_CHECK_SECONDS = 0.05  # between two looks for abandoned requests among those that wait


class Engine:
    """Steps many trajectories together through one network."""

    def __init__(
        self,
        family: Family,
        costs: Costs,
        limits: EngineLimits,
        meter: Meter,
        adapters: AdapterCache,
        passes: Passes,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`passes` are those of the family: they may keep memory while no request needs it."""
        self.adapters, self.costs, self._passes = adapters, costs, passes
        self._family, self._limits, self._clock = family, limits, clock
        self._meter = GuardedMeter(meter)
        self._queue = AdmissionQueue(limits, adapters)
        self._guard = MemoryGuard(family, passes)
        self._planner = PassPlanner(costs, self._queue, limits, self._guard, passes)
        self._running: list[Entry] = []  # this and the next are the loop's own
        self._queue_checked = float("-inf")
        self._pass_began = (0.0, 0.0)  # when, and how long it should take; written by the loop alone
        self._thread: threading.Thread | None = None

    def start(self) -> None:
        """Runs the loop in a thread of its own until `close`."""
        self._thread = threading.Thread(target=self._run, name="step-loop", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Admits no more requests, finishes the admitted ones, and ends the loop."""
        self._queue.close()
        if self._thread is not None:
            self._thread.join()

    def now(self) -> dict[str, float]:
        """Seconds that the current pass has been running, and that it should take."""
        started, expected = self._pass_began
        return {"running_for": round(self._clock() - started, 3) if started else 0.0, "expected": expected}

    def capacity(self, typical: Request, works: Sequence[int]) -> dict[str, int]:
        """How many requests like this one the loop takes; `works` are those of rows that share passes."""
        return capacity_facts(typical, works, self.costs, self._limits)

    def facts(self) -> dict[str, Any]:
        """The current pass, costs by work and rows, how full the adapter cache is, and how passes run."""
        return {
            "step": self.now(),
            "passes": self.costs.as_facts(),
            "adapters": self.adapters.facts(),
            "acceleration": self._passes.facts(),
        }

    def admit(
        self,
        request: Request,
        subscriber: Subscriber,
        deadline: float = float("inf"),
        *,
        urgent: bool = False,
    ) -> None:
        """Admits a request; raises Refusal if it is too large, or cannot be taken now.

        `deadline` is by the loop's clock. An urgent request, such as a probe, is admitted however full the
        queue is, and leads the next pass.
        """
        sizes = state_bytes(request), self.costs.step_bytes(request)
        self._limits.check(request, sum(sizes), self.costs.step_seconds(request))
        try:
            self._queue.admit(Entry(request, subscriber, deadline, *sizes, urgent))
        except Refusal as refusal:
            if refusal.reason == "BUSY":
                self._meter.ended("refused")
            raise

    def step(self) -> bool:
        """Starts waiting requests, drops abandoned ones, and takes one pass; False if nothing is left."""
        self._drop_abandoned()
        self._start_waiting()
        self._report()
        if not self._running:
            return False
        started, planned = self._clock(), self._planner.next_pass(self._running)
        self._pass(planned)
        self._meter.stepped(planned.rows, len(planned.entries), self._clock() - started)
        return True

    def _run(self) -> None:
        while self._running or self._queue.wait():
            try:
                self.step()
            except Exception as fault:  # an unexpected fault ends all requests, not the loop
                log.exception("the step loop failed; all its requests are refused")
                self._fail_all(fault)

    def _drop_abandoned(self) -> None:
        """Ends requests whose subscriber has gone or whose time is up, and so frees their memory.

        Those that wait can be many, so they are checked only a few times a second.
        """
        if self._clock() - self._queue_checked >= _QUEUE_CHECK_SECONDS:
            self._queue_checked = self._clock()
            self._queue.remove([entry for entry in self._queue.entries() if self._abandoned(entry)])
        self._running = [entry for entry in self._running if not self._abandoned(entry)]

    def _start_waiting(self) -> None:
        for entry in self._queue.take(len(self._running)):
            if self._abandoned(entry):
                continue
            with self._failing_alone(entry):
                entry.running = Trajectory(entry.request, self._family)
                if entry.urgent:
                    entry.running.turn = -1
                self._running.append(entry)

    def _pass(self, planned: PlannedPass) -> None:
        """One forward pass for all, then each one's own step, whose failure ends that request alone."""
        began, entries = self._clock(), planned.entries
        self._pass_began = (began, planned.seconds)
        try:
            with torch.no_grad(), self.adapters.applied(entries[0].request.adapters):
                predictions = self._guard.predict(planned.batch)
        except Exception as fault:  # of the network: ends these requests, not the loop
            for entry in entries:
                self._fail(entry, fault)
            return
        else:
            advanced = []
            for entry, own in zip(entries, predictions, strict=True):
                with self._failing_alone(entry):
                    entry.trajectory.advance(_unless_refused(own))
                    advanced.append(entry)
            wait_for(self._family.device)  # once for all: a step is reported when it is done
        finally:
            self._pass_began = (0.0, 0.0)
        self._planner.observe(planned, self._clock() - began)
        for entry in advanced:
            with self._failing_alone(entry):
                self._notify(entry)

    @contextmanager
    def _failing_alone(self, entry: Entry) -> Iterator[None]:
        """Where a failure ends this request and no other: its own code, hooks and subscriber run here.

        Gradients are off by `no_grad`: tensors born in inference mode could never be used where a hook
        follows a gradient.
        """
        try:
            with torch.no_grad():
                yield
        except Exception as fault:  # whatever it is
            self._fail(entry, fault)

    def _abandoned(self, entry: Entry) -> bool:
        try:
            gone = entry.subscriber.gone()
        except Exception as fault:  # a subscriber that fails cannot be answered either
            log.exception("a subscriber could not say whether its reply is still wanted")
            self._end(entry, "failed", refusal_for(fault))
            return True
        if gone:
            self._end(entry, "cancelled", Refusal("CANCELLED", "the caller has gone"))
            return True
        if self._clock() >= entry.deadline:
            self._end(entry, "expired", Refusal("TIME_LIMIT", "the time for this request is up"))
            return True
        return False

    def _notify(self, entry: Entry) -> None:
        """Reports a step, or the end."""
        trajectory, request = entry.trajectory, entry.request
        done, steps = trajectory.done, trajectory.steps
        if done < steps:
            preview = trajectory.clean_estimate() if _due(request.preview_every, done) else None
            checkpoint = trajectory.checkpoint().blob() if _due(request.checkpoint_every, done) else None
            entry.subscriber.progress(done, steps, preview, checkpoint)
            return
        latents = trajectory.latents[0].cpu()
        if not bool(torch.isfinite(latents).all()):
            raise Refusal("INTERNAL", "the network predicted numbers that are not finite")
        self._running.remove(entry)
        self._end(entry, "finished", None)
        entry.subscriber.finish(latents, steps)

    def _fail(self, entry: Entry, fault: Exception) -> None:
        if not isinstance(fault, Refusal):
            log.error("a request failed", exc_info=fault)
        if entry in self._running:
            self._running.remove(entry)
        self._end(entry, "failed", refusal_for(fault))

    def _fail_all(self, fault: Exception) -> None:
        waiting = self._queue.entries()
        self._queue.remove(waiting)
        for entry in (*self._running, *waiting):
            self._end(entry, "failed", refusal_for(fault))
        self._running.clear()

    def _end(self, entry: Entry, how: str, refusal: Refusal | None) -> None:
        """Releases what an entry holds, and reports why it ended unless it finished."""
        self._queue.release(entry)
        self._meter.ended(how)
        self._report()
        if refusal is None:
            return
        try:
            entry.subscriber.refuse(refusal)
        except Exception:  # does not affect other requests
            log.exception("the end of a request could not be reported")

    def _report(self) -> None:
        self._meter.under_way(len(self._running), len(self._queue))


def _unless_refused(predictions: Sequence[Tensor] | Refusal) -> Sequence[Tensor]:
    if isinstance(predictions, Refusal):
        raise predictions
    return predictions


def _due(every: int, done: int) -> bool:
    return every > 0 and done % every == 0

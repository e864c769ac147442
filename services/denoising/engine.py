"""The step loop: owns batching, fairness, cancel, deadlines, progress and previews.

One thread runs it and alone touches the network. Requests come in through a lock-guarded line; whoever
sent one is told of each step, and asked at every step whether the answer is still wanted.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from services.denoising.batch import next_batch
from services.denoising.costs import Costs
from services.denoising.family import Family, Request
from services.denoising.room import state_bytes
from services.denoising.trajectory import Trajectory, joined
from services.refusal import Refusal


class Asker(Protocol):
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
class Limits:
    """How much may be under way."""

    memory: int  # bytes for all trajectories and the largest pass together
    running: int = 64  # trajectories stepping in turn
    waiting: int = 256  # trajectories admitted but not yet stepping


@dataclass(eq=False)
class _Seat:
    """A request that was let in."""

    request: Request
    asker: Asker
    deadline: float
    held: int
    urgent: bool = False
    trajectory: Trajectory | None = None


class Engine:
    """Steps many trajectories together through one network."""

    def __init__(
        self,
        family: Family,
        costs: Costs,
        limits: Limits,
        meter: Meter,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._family, self._costs, self._limits, self._meter = family, costs, limits, meter
        self._clock = clock
        self._changed = threading.Condition()
        self._line: deque[_Seat] = deque()  # guarded by _changed
        self._held = 0  # guarded by _changed
        self._closing = False  # guarded by _changed
        self._live: list[_Seat] = []  # the loop's own
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

    def admit(
        self,
        request: Request,
        asker: Asker,
        deadline: float = float("inf"),
        *,
        urgent: bool = False,
    ) -> None:
        """Lets a request in; raises Refusal if there is no room. `deadline` is by the loop's clock.

        An urgent request is let in however full it is and leads the next pass: a question whether the
        loop is alive must not wait behind the work.
        """
        _, height, width = request.latents
        needs = self._costs.bytes_for(len(request.branches), height * width)
        held = state_bytes(request)
        if needs + held > self._limits.memory:
            raise Refusal(
                "INVALID_FIELD",
                f"source of {width} x {height} latents needs about {_mib(needs + held)} MiB, more than the "
                f"{_mib(self._limits.memory)} MiB this model may use; choose a smaller working size",
            )
        with self._changed:
            if self._closing:
                raise Refusal("MODEL_DOWN", "this model is being unloaded; ask another replica")
            if self._thread is not None and not self._thread.is_alive():
                raise Refusal("MODEL_DOWN", "the step loop died; the model must be loaded again")
            full = len(self._line) >= self._limits.waiting
            full = full or self._held + held + needs > self._limits.memory
            if full and not urgent:
                self._meter.ended("refused")
                raise Refusal("BUSY", f"no room beside {len(self._line)} waiting requests; try again later")
            self._held += held
            seat = _Seat(request, asker, deadline, held, urgent)
            if urgent:
                self._line.appendleft(seat)
            else:
                self._line.append(seat)
            self._changed.notify_all()

    def step(self) -> bool:
        """Lets in who waits, sends off who left, and takes one pass; False if there is nothing to do."""
        self._take_places()
        for seat in tuple(self._live):
            self._left(seat)
        self._report()
        if not self._live:
            return False
        started = self._clock()
        seats = {id(seat.trajectory): seat for seat in self._live}
        batch = next_batch([_on_way(seat) for seat in self._live], self._rows_for)
        together = [seats[id(trajectory)] for trajectory in batch]
        try:
            self._pass(batch)
        except Exception as fault:  # whatever the network or a scheduler throws ends these, not the loop
            for seat in together:
                self._leave(seat, "failed", _explained(fault))
            return True
        self._meter.stepped(sum(t.rows for t in batch), len(batch), self._clock() - started)
        for seat in together:
            self._tell(seat)
        return True

    def _run(self) -> None:
        while True:
            with self._changed:
                while not (self._line or self._live or self._closing):
                    self._changed.wait()
                if self._closing and not (self._line or self._live):
                    return
            self.step()

    def _take_places(self) -> None:
        with self._changed:
            # Whoever left while waiting makes room at once, not when its turn would have come.
            self._line = deque(seat for seat in self._line if not self._left(seat))
            arrived: list[_Seat] = []
            while self._line and (
                self._line[0].urgent or len(self._live) + len(arrived) < self._limits.running
            ):
                arrived.append(self._line.popleft())
        for seat in arrived:
            try:
                seat.trajectory = Trajectory(seat.request, self._family.scheduler_config, self._family.device)
            except (ValueError, ArithmeticError, RuntimeError) as fault:
                self._leave(seat, "failed", _explained(fault))
                continue
            if seat.urgent:
                seat.trajectory.turn = -1
            self._live.append(seat)

    def _pass(self, batch: list[Trajectory]) -> None:
        with torch.inference_mode():
            answers = self._family.predict(joined(batch))
            for trajectory, own in zip(batch, answers.split([t.rows for t in batch]), strict=True):
                trajectory.advance(own)

    def _rows_for(self, area: int) -> int:
        """Rows worth a pass at this area, as far as memory goes."""
        return min(self._costs.rows_for(area), self._limits.memory // self._costs.bytes_for(1, area))

    def _left(self, seat: _Seat) -> bool:
        if seat.asker.gone():
            self._leave(seat, "cancelled", Refusal("CANCELLED", "nobody waits for this any more"))
            return True
        if self._clock() >= seat.deadline:
            self._leave(seat, "expired", Refusal("TIME_LIMIT", "the time for this request is up"))
            return True
        return False

    def _tell(self, seat: _Seat) -> None:
        trajectory = _on_way(seat)
        if trajectory.done < trajectory.steps:
            every = seat.request.preview_every
            wanted = every and trajectory.done % every == 0
            seat.asker.beat(trajectory.done, trajectory.steps, trajectory.foreseen() if wanted else None)
            return
        latents = trajectory.latents[0]
        if not bool(torch.isfinite(latents).all()):
            fault = Refusal("INTERNAL", "the network answered numbers that are not finite")
            self._leave(seat, "failed", fault)
        else:
            self._leave(seat, "finished", None)
            seat.asker.finish(latents, trajectory.steps)

    def _leave(self, seat: _Seat, how: str, refusal: Refusal | None) -> None:
        with self._changed:
            self._held -= seat.held
        if seat in self._live:
            self._live.remove(seat)
        self._report()
        self._meter.ended(how)
        if refusal is not None:
            seat.asker.refuse(refusal)

    def _report(self) -> None:
        with self._changed:
            waiting = len(self._line)
        self._meter.under_way(len(self._live), waiting)


def _on_way(seat: _Seat) -> Trajectory:
    if seat.trajectory is None:
        raise RuntimeError("a request that has no place yet cannot step")
    return seat.trajectory


def _explained(fault: Exception) -> Refusal:
    if isinstance(fault, torch.OutOfMemoryError):
        return Refusal("BUSY", "the device ran out of memory at this step; try again later")
    return Refusal("INTERNAL", f"the step failed: {type(fault).__name__}: {fault}")


def _mib(size: int) -> int:
    return max(round(size / 2**20), 1)

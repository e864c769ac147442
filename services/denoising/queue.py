"""The admission queue of a step loop: who waits, and the memory that all admitted requests hold."""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from services.adapters.cache import AdapterCache
from services.denoising.family import Request
from services.denoising.trajectory import Trajectory
from services.refusal import Refusal

_URGENT = 8  # urgent requests at a time


class Subscriber(Protocol):
    """The sender of a request. Called from the loop's thread only; no call may raise or block."""

    def gone(self) -> bool:
        """True once the reply is no longer wanted."""

    def progress(self, done: int, of: int, preview: Tensor | None, checkpoint: Tensor | None) -> None:
        """A step was taken; `preview` is the clean estimate and `checkpoint` UINT8, where due."""

    def finish(self, latents: Tensor, steps: int) -> None:
        """The last step was taken."""

    def refuse(self, refusal: Refusal) -> None:
        """The request ended otherwise."""


@dataclass(frozen=True)
class EngineLimits:
    """Limits of what may be admitted."""

    memory: int  # bytes for all trajectories and the largest pass together
    graphs: int = 0  # bytes of that memory for graphs of passes, while no request needs them
    running: int = 64  # trajectories stepping in turn
    waiting: int = 256  # trajectories admitted but not yet stepping
    step_seconds: float = 120.0  # the longest step, for which all others wait

    def check(self, request: Request, memory: int, step_seconds: float) -> None:
        """Raises Refusal if a request with these needs could not run even alone."""
        if memory > self.memory:
            raise Refusal(
                "INVALID_FIELD",
                f"{request.size} needs about {_mib(memory)} MiB, more than the {_mib(self.memory)} MiB this "
                "model may use; choose a smaller working size",
            )
        if step_seconds > self.step_seconds:
            raise Refusal(
                "INVALID_FIELD",
                f"{request.size} would take about {step_seconds:.0f} s a step, more than the "
                f"{self.step_seconds:.0f} s that others can be kept waiting; choose a smaller working size",
            )


@dataclass(eq=False)
class Entry:
    """An admitted request."""

    request: Request
    subscriber: Subscriber
    deadline: float
    bytes: int  # that it holds from admission to its end
    step_bytes: int  # working memory of a step
    urgent: bool = False
    running: Trajectory | None = None
    released: bool = False

    @property
    def trajectory(self) -> Trajectory:
        if self.running is None:
            raise RuntimeError("a request that still waits cannot step")
        return self.running


class AdmissionQueue:
    """Requests in the order in which they start. Any thread may admit; the loop's takes and releases."""

    def __init__(self, limits: EngineLimits, adapters: AdapterCache) -> None:
        self._limits, self._adapters = limits, adapters
        self._changed = threading.Condition()
        self._waiting: deque[Entry] = deque()  # guarded by _changed, as are the next four
        self._admitted: set[Entry] = set()  # those that wait, and those that step
        self._held = 0
        self._urgent = 0
        self._closing = False

    def __len__(self) -> int:
        with self._changed:
            return len(self._waiting)

    def admit(self, entry: Entry) -> None:
        """Admits a request, and pins its adapters.

        Raises Refusal if the model is closing, the queue or memory is full, or an adapter is not loaded. An
        urgent request is admitted however full it is, and starts first; only a few are admitted at a time.
        """
        with self._changed:
            if self._closing:
                raise Refusal("MODEL_DOWN", "this model is being unloaded; ask another replica")
            if entry.urgent:
                full = self._urgent >= _URGENT
            else:
                full = len(self._waiting) >= self._limits.waiting
                step = max(each.step_bytes for each in (entry, *self._admitted))
                full = full or self._held + entry.bytes + step > self._limits.memory
            if full:
                raise Refusal(
                    "BUSY", f"no room beside {len(self._waiting)} waiting requests; try again later"
                )
            self._adapters.pin(entry.request.adapters)
            self._admitted.add(entry)
            self._held += entry.bytes
            self._urgent += entry.urgent
            if entry.urgent:
                self._waiting.appendleft(entry)
            else:
                self._waiting.append(entry)
            self._changed.notify_all()

    def take(self, running: int) -> list[Entry]:
        """Removes and returns the requests that may start beside so many that run."""
        taken: list[Entry] = []
        with self._changed:
            while self._waiting and (self._waiting[0].urgent or running + len(taken) < self._limits.running):
                taken.append(self._waiting.popleft())
        return taken

    def entries(self) -> tuple[Entry, ...]:
        """The requests that wait."""
        with self._changed:
            return tuple(self._waiting)

    def remove(self, entries: Iterable[Entry]) -> None:
        """Removes these from those that wait."""
        removed = {id(entry) for entry in entries}
        with self._changed:
            self._waiting = deque(entry for entry in self._waiting if id(entry) not in removed)

    def release(self, entry: Entry) -> None:
        """Returns the memory and adapters that an entry holds, once."""
        with self._changed:
            if entry.released:
                return
            entry.released = True
            self._admitted.discard(entry)
            self._held -= entry.bytes
            self._urgent -= entry.urgent
            self._adapters.unpin(entry.request.adapters)

    def free_bytes(self) -> int:
        """The memory that no admitted request holds."""
        with self._changed:
            return self._limits.memory - self._held

    def wait(self) -> bool:
        """Blocks until a request waits; False once the queue is closed and empty."""
        with self._changed:
            while not (self._waiting or self._closing):
                self._changed.wait()
            return bool(self._waiting)

    def close(self) -> None:
        """Admits no more requests; those that wait stay."""
        with self._changed:
            self._closing = True
            self._changed.notify_all()


def _mib(size: int) -> int:
    return max(round(size / 2**20), 1)

"""A run: one execution of a recipe, how far it is, and how long it took.

The share of each stage in the whole is a guess made once; within a stage the steps are counted. What is
left is estimated from what the steps took.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator import metrics
from orchestrator.triton.deadline import Deadline

SHARES = {"segment": 0.08, "encode": 0.06, "denoise": 0.76, "decode": 0.05, "inlay": 0.05}


@dataclass(frozen=True)
class Progress:
    """How far a run is. `fraction` is in [0, 1]; `remaining` is in seconds, None while nothing is known."""

    stage: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    remaining: float | None = None
    preview: str = ""


class Run:
    """One execution of a recipe. Owned by whoever started it; stages report to it."""

    def __init__(self, deadline: Deadline, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after every change, and must return at once."""
        self.deadline = deadline
        self.times: dict[str, float] = {}
        self._changed = changed
        self._began: float | None = None  # with the first stage; before it a run waits for its turn
        self._stage, self._step, self._steps = "", 0, 0
        self._fraction, self._preview = 0.0, ""
        # When each of the latest steps ended: enough of them to even out the odd slow one.
        self._ticks: deque[float] = deque(maxlen=9)

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Times what happens inside and shows it as the stage being worked on."""
        began = time.monotonic()
        self._began = began if self._began is None else self._began
        self._stage, self._step, self._steps = name, 0, 0
        self._ticks.clear()
        self._changed()
        try:
            yield
        finally:
            took = time.monotonic() - began
            self.times[name] = self.times.get(name, 0.0) + took
            metrics.STAGE_SECONDS.labels(name).observe(took)
        self._advance(SHARES.get(name, 0.0))

    def stepped(self, done: int, of: int) -> None:
        """Of the stage being worked on, `done` steps of `of` are over."""
        self._step, self._steps = done, of
        self._ticks.append(time.monotonic())
        self._advance(SHARES.get(self._stage, 0.0) * done / max(of, 1))

    def show(self, preview: str) -> None:
        """A preview has been stored under this name."""
        self._preview = preview
        self._changed()

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        return Progress(
            self._stage, self._step, self._steps, self._fraction, self._remaining(), self._preview
        )

    def _advance(self, within: float) -> None:
        before = 0.0
        for name, share in SHARES.items():
            if name == self._stage:
                break
            before += share
        self._fraction = max(self._fraction, min(before + within, 1.0))
        self._changed()

    def _remaining(self) -> float | None:
        if len(self._ticks) >= 2 and self._steps > self._step:
            step = (self._ticks[-1] - self._ticks[0]) / (len(self._ticks) - 1)
            after = 1.0 - sum(SHARES[name] for name in _up_to(self._stage))
            return step * (self._steps - self._step) + step * self._steps * after / SHARES[self._stage]
        if self._began is not None and self._stage in ("decode", "inlay") and self._fraction > 0:
            return (time.monotonic() - self._began) * (1.0 - self._fraction) / self._fraction
        return None


def _up_to(stage: str) -> Iterator[str]:
    for name in SHARES:
        yield name
        if name == stage:
            return

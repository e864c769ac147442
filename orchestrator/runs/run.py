"""A run: one execution of a recipe, how far it is, and how long it took.

The share of each stage in the whole is a guess, made once for every kind of work; within a stage the steps
are counted. What is left is estimated from what the steps took.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator import metrics
from orchestrator.deadline import Deadline

# By stage, in the order in which they come.
DRAWING = {"segment": 0.08, "encode": 0.06, "denoise": 0.76, "decode": 0.05, "inlay": 0.05}
TRACKING = {"segment": 0.03, "track": 0.95, "inlay": 0.02}


@dataclass(frozen=True)
class Progress:
    """How far a run is. `fraction` is in [0, 1]; `remaining` is in seconds, None while nothing is known."""

    stage: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    remaining: float | None = None
    preview: str = ""


class Work:
    """A piece of a stage: the whole of it, or one of `of` equal ones, several of them open at once."""

    def __init__(self, name: str, of: int, whole: float, changed: Callable[[Work], None]) -> None:
        """`whole`: the share of the stage in the run."""
        self.name, self.of, self.step, self.steps, self.done = name, of, 0, 0, False
        self._whole, self._changed = whole, changed

    def stepped(self, done: int, of: int) -> None:
        """Of this piece, `done` steps of `of` are over; 0 where nobody knows how many there are."""
        self.step, self.steps = done, of
        self._changed(self)

    @property
    def share(self) -> float:
        """What is done of it, as a share of the whole run."""
        part = 1.0 if self.done else self.step / self.steps if self.steps else 0.0
        return self._whole * part / self.of


@dataclass
class _Over:
    """The pieces of a stage that are over, in sum: there may be thousands."""

    of: int = 0  # pieces of the stage in all
    step: int = 0
    longest: int = 0  # steps of a piece


class Run:
    """One execution of a recipe. Owned by whoever started it; stages report to it."""

    def __init__(self, deadline: Deadline, changed: Callable[[], None] = lambda: None) -> None:
        """`changed` is called after every change, and must return at once."""
        self.deadline = deadline
        self._shares: Mapping[str, float] = DRAWING
        self.times: dict[str, float] = {}  # by stage, added up over its pieces
        self._changed = changed
        self._began: float | None = None  # with the first stage; before it a run waits for its turn
        self._open: list[Work] = []
        self._over: dict[str, _Over] = {}  # by stage
        self._share = 0.0  # of all pieces that are over
        self._stage, self._fraction, self._preview = "", 0.0, ""
        # When each of the latest steps ended: enough of them to even out the odd slow one.
        self._ticks: deque[float] = deque(maxlen=9)

    def expect(self, shares: Mapping[str, float]) -> None:
        """Said before the first stage by a recipe whose stages are not those of drawing, and once more by one
        that begins anew: stages are counted from nothing then, and what was shown is not taken back."""
        self._shares = shares
        self._over.clear()
        self._share = 0.0

    @contextmanager
    def stage(self, name: str, *, of: int = 1) -> Iterator[Work]:
        """Times what happens inside and shows it as the stage being worked on.

        `of` is how many pieces of this stage there will be in all, for a stage that comes up again and
        again: for every candidate, for every tile.
        """
        began = time.monotonic()
        self._began = began if self._began is None else self._began
        work = Work(name, of, self._shares.get(name, 0.0), self._stepped)
        if name not in self._over:
            self._ticks.clear()
            self._over[name] = _Over(of)
        self._open.append(work)
        self._advance(name)
        try:
            yield work
            work.done = True
        finally:
            took = time.monotonic() - began
            self.times[name] = self.times.get(name, 0.0) + took
            metrics.STAGE_SECONDS.labels(name).observe(took)
            self._close(work)
        self._advance(name)

    def show(self, preview: str) -> None:
        """A preview has been stored under this name."""
        self._preview = preview
        self._changed()

    @property
    def progress(self) -> Progress:
        """How far it is now."""
        step, steps = self._steps()
        return Progress(self._stage, step, steps, self._fraction, self._remaining(), self._preview)

    def _stepped(self, work: Work) -> None:
        self._ticks.append(time.monotonic())
        self._advance(work.name)

    def _close(self, work: Work) -> None:
        self._open.remove(work)
        self._share += work.share
        over = self._over[work.name]
        over.step, over.longest = over.step + work.step, max(over.longest, work.steps)

    def _advance(self, stage: str) -> None:
        self._stage = stage
        share = self._share + sum(work.share for work in self._open)
        self._fraction = max(self._fraction, min(share, 1.0))
        self._changed()

    def _steps(self) -> tuple[int, int]:
        """Steps that are over, and steps in all, of every piece of the stage being worked on."""
        here, over = [work for work in self._open if work.name == self._stage], self._over.get(self._stage)
        if over is None:
            return 0, 0
        longest = max((work.steps for work in here), default=0)
        return over.step + sum(work.step for work in here), max(over.longest, longest) * over.of

    def _remaining(self) -> float | None:
        step, steps = self._steps()
        if len(self._ticks) >= 2 and steps > step:
            each = (self._ticks[-1] - self._ticks[0]) / (len(self._ticks) - 1)
            after = 1.0 - sum(self._shares[name] for name in self._up_to(self._stage))
            return each * (steps - step) + each * steps * after / self._shares[self._stage]
        if self._began is not None and self._stage in ("decode", "inlay") and self._fraction > 0:
            return (time.monotonic() - self._began) * (1.0 - self._fraction) / self._fraction
        return None

    def _up_to(self, stage: str) -> Iterator[str]:
        for name in self._shares:
            yield name
            if name == stage:
                return

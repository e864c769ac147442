"""A run: one execution of a recipe, its progress, and the time its stages took.

A recipe declares the share of each of its stages in the whole, an estimate; within a stage the steps are
counted. The remaining time is estimated from the time of the steps.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

from orchestrator import metrics
from orchestrator.deadline import Deadline


@dataclass(frozen=True)
class Progress:
    """The progress of a run. `fraction` is in [0, 1]; `remaining` is in seconds, None while it is unknown."""

    stage: str = ""
    step: int = 0
    steps: int = 0
    fraction: float = 0.0
    remaining: float | None = None
    preview: str = ""
    note: str = ""  # what holds it up, in words; empty while it goes on


class Work:
    """A piece of a stage: the whole of it, or one of `of` equal ones, several of them open at once."""

    def __init__(
        self, name: str, of: int, whole: float, changed: Callable[[Work], None], noted: Callable[[], None]
    ) -> None:
        """`whole`: the share of the stage in the run. `noted` is called when something holds it up."""
        self.name, self.of, self.step, self.steps, self.done = name, of, 0, 0, False
        self.note = ""
        self._whole, self._changed, self._noted = whole, changed, noted

    def stepped(self, done: int, of: int) -> None:
        """Reports that `done` steps of `of` are over in this piece; `of` is 0 if their number is unknown."""
        self.step, self.steps, self.note = done, of, ""
        self._changed(self)

    def held_up(self, note: str) -> None:
        """Reports what holds this piece up until its next step."""
        self.note = note
        self._noted()

    @property
    def share(self) -> float:
        """The part of it that is done, as a share of the whole run."""
        part = 1.0 if self.done else self.step / self.steps if self.steps else 0.0
        return self._whole * part / self.of


@dataclass
class _Over:
    """The sum of the pieces of a stage that are over: there may be thousands."""

    of: int = 0  # pieces of the stage in all
    step: int = 0
    longest: int = 0  # steps of a piece


class Run:
    """One execution of a recipe. Its stages report to it."""

    def __init__(
        self,
        deadline: Deadline,
        changed: Callable[[], None] = lambda: None,
        shrunk: Callable[[int], None] = lambda memory: None,
    ) -> None:
        """`changed` is called after every change of the progress, `shrunk` when the run needs less memory;
        both must return at once."""
        self.deadline = deadline
        self.shrink = shrunk  # reports that the rest of the run needs no more than so many bytes
        self.enough = asyncio.Event()  # set to end the run early, with what it has made by then
        self.heeds_enough = False  # whether the recipe has come to where it does
        self._shares: Mapping[str, float] = {}
        self.times: dict[str, float] = {}  # by stage, added up over its pieces
        self._changed = changed
        self._began: float | None = None  # with the first stage
        self._open: list[Work] = []
        self._over: dict[str, _Over] = {}  # by stage
        self._share = 0.0  # of all pieces that are over
        self._stage, self._fraction, self._preview = "", 0.0, ""
        # When each of the latest steps ended: enough of them to even out the odd slow one.
        self._ticks: deque[float] = deque(maxlen=9)

    def expect(self, shares: Mapping[str, float]) -> None:
        """Declares the share of every stage in the whole, by name, in the order in which they come.

        A recipe calls it before its first stage, and again if it starts over: the stages are counted from
        the beginning then, and the progress reported so far does not fall.
        """
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
        work = Work(name, of, self._shares.get(name, 0.0), self._stepped, self._changed)
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

    def skip(self, name: str, pieces: int = 1, *, of: int = 1) -> None:
        """Counts pieces of a stage as over that an earlier run of the same job has made."""
        over = self._over.setdefault(name, _Over(of))
        over.of -= pieces  # steps are counted for the others
        self._share += self._shares.get(name, 0.0) * pieces / of
        self._advance(self._stage)

    def show(self, preview: str) -> None:
        """Reports the artifact of a new preview."""
        self._preview = preview
        self._changed()

    @property
    def progress(self) -> Progress:
        """The progress as it is now."""
        step, steps = self._steps()
        note = next((work.note for work in self._open if work.note), "")
        return Progress(self._stage, step, steps, self._fraction, self._remaining(), self._preview, note)

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
        """Steps that are over, and steps in all, of every piece of the current stage."""
        here, over = [work for work in self._open if work.name == self._stage], self._over.get(self._stage)
        if over is None:
            return 0, 0
        longest = max((work.steps for work in here), default=0)
        return over.step + sum(work.step for work in here), max(over.longest, longest) * over.of

    def _remaining(self) -> float | None:
        step, steps = self._steps()
        if self._stage in self._shares and len(self._ticks) >= 2 and steps > step:
            each = (self._ticks[-1] - self._ticks[0]) / (len(self._ticks) - 1)
            after = 1.0 - sum(self._shares[name] for name in self._up_to(self._stage))
            return each * (steps - step) + each * steps * after / self._shares[self._stage]
        if self._began is not None and self._fraction > 0 and self._after_main_stage():
            return (time.monotonic() - self._began) * (1.0 - self._fraction) / self._fraction
        return None

    def _after_main_stage(self) -> bool:
        """True if the stage with the largest share is over: then the time so far is a good measure."""
        main = max(self._shares, key=self._shares.__getitem__, default="")
        return self._stage not in (*self._up_to(main),)

    def _up_to(self, stage: str) -> Iterator[str]:
        for name in self._shares:
            yield name
            if name == stage:
                return

"""Progress: a bar over denoising steps, frames or bytes; JSON lines for machines."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from tqdm import tqdm

from intarsia.cli.output import Console, as_json
from intarsia.results import JobState, JobStatus


def wanted(requested: bool | None, console: Console) -> bool:
    """True if progress is shown: as the option says, else if standard error is a terminal."""
    return (sys.stderr.isatty() and not console.json) if requested is None else requested


def stage_of(job: JobStatus[Any]) -> str:
    """What a job does, in one word: its stage, or its state if it is finished or paused."""
    if job.state.finished or job.state == JobState.PAUSED:
        return job.state.value
    return job.progress.stage or "waiting"


class Progress:
    """The progress of a job. A context manager: leaving it removes the bar."""

    def __init__(self, console: Console, requested: bool | None) -> None:
        self._console, self._enabled = console, wanted(requested, console)
        self._bar: tqdm | None = None
        self._note = ""

    def __enter__(self) -> Progress:
        if self._enabled and not self._console.json:
            self._bar = tqdm(desc="waiting", unit="step", file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, job: JobStatus[Any]) -> None:
        note, self._note = self._note, job.progress.note
        if self._note and self._note != note and not (self._enabled and self._console.json):
            self.warn(self._note)
        if self._bar is not None:
            self._draw(self._bar, job)
        elif self._enabled:
            about = {"job": job.name, "state": job.state, **as_json(job.progress)}
            self._console.result("progress", about, "")

    def warn(self, sentence: str) -> None:
        """Prints a problem above the bar."""
        if self._bar is not None:
            self._bar.clear()
        self._console.warning(sentence)

    def _draw(self, bar: tqdm, job: JobStatus[Any]) -> None:
        at = job.progress
        if at.step or at.steps:  # without a total if it is not known
            bar.total, bar.n = at.steps or None, at.step
        # A clip's job finds regions before and while it follows them: `segment` is not its end.
        if bar.total and (job.state == JobState.SUCCEEDED or not (at.steps or at.stage == "segment")):
            bar.n = bar.total
        bar.set_description_str(stage_of(job), refresh=False)
        if at.remaining is not None:
            bar.set_postfix_str(f"about {at.remaining.total_seconds():.0f} s left", refresh=False)
        bar.refresh()


class Bytes:
    """The progress of a transfer; a callback for the client."""

    def __init__(self, console: Console, requested: bool | None, name: str) -> None:
        self._console, self._enabled, self._name = console, wanted(requested, console), name
        self._bar: tqdm | None = None

    def __call__(self, done: int, size: int) -> None:
        if not self._enabled:
            return
        if self._console.json:
            self._console.result("progress", {"file": self._name, "bytes": done, "of": size}, "")
            return
        if self._bar is None:
            self._bar = tqdm(desc=self._name, unit="B", unit_scale=True, file=sys.stderr, dynamic_ncols=True)
        self._bar.total, self._bar.n = size, done
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

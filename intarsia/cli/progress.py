"""Progress: a bar over denoising steps, frames or bytes; JSON lines for machines."""

from __future__ import annotations

import sys
from types import TracebackType

from tqdm import tqdm

from intarsia.cli.output import Voice, as_dict
from intarsia.jobs import FINISHED, word_of
from intarsia.v1.jobs_pb2 import Job


def wanted(asked: bool | None, voice: Voice) -> bool:
    """Whether to show progress: as asked, else to people who look at a terminal."""
    return (sys.stderr.isatty() and not voice.machine) if asked is None else asked


class Progress:
    """One job's progress on its way to the end. A context: the bar is taken down when it is left."""

    def __init__(self, voice: Voice, asked: bool | None) -> None:
        self._voice, self._shown = voice, wanted(asked, voice)
        self._bar: tqdm | None = None

    def __enter__(self) -> Progress:
        if self._shown and not self._voice.machine:
            self._bar = tqdm(desc="waiting", unit="step", file=sys.stderr, dynamic_ncols=True)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, job: Job) -> None:
        if self._bar is not None:
            self._draw(self._bar, job)
        elif self._shown:
            about = {"job": job.name, "state": word_of(job.state), **as_dict(job.progress)}
            self._voice.tell("progress", about, "")

    def warn(self, sentence: str) -> None:
        """Says what went wrong on the way, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        self._voice.warn(sentence)

    def _draw(self, bar: tqdm, job: Job) -> None:
        at = job.progress
        if at.step or at.steps:  # without a total where nobody knows how many there are
            bar.total, bar.n = at.steps or None, at.step
        # Before a clip is followed, and on the way, something is looked for; it is not yet at its end.
        if bar.total and (job.state == Job.STATE_SUCCEEDED or not (at.steps or at.stage == "segment")):
            bar.n = bar.total
        stage = word_of(job.state) if job.state in FINISHED else at.stage or "waiting"
        bar.set_description_str(stage, refresh=False)
        if at.HasField("remaining"):
            bar.set_postfix_str(
                f"about {at.remaining.ToTimedelta().total_seconds():.0f} s left", refresh=False
            )
        bar.refresh()


class Bytes:
    """A transfer's progress; itself the callback that the client tells."""

    def __init__(self, voice: Voice, asked: bool | None, name: str) -> None:
        self._voice, self._shown, self._name = voice, wanted(asked, voice), name
        self._bar: tqdm | None = None

    def __call__(self, done: int, size: int) -> None:
        if not self._shown:
            return
        if self._voice.machine:
            self._voice.tell("progress", {"file": self._name, "bytes": done, "of": size}, "")
            return
        if self._bar is None:
            self._bar = tqdm(desc=self._name, unit="B", unit_scale=True, file=sys.stderr, dynamic_ncols=True)
        self._bar.total, self._bar.n = size, done
        self._bar.refresh()

    def close(self) -> None:
        if self._bar is not None:
            self._bar.close()

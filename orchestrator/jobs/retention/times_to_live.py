"""Times to live: how long each kind of thing stays when nothing needs it."""

from __future__ import annotations

from dataclasses import dataclass
from math import inf

from store.artifact import Origin

_DAY = 86400.0


@dataclass(frozen=True)
class TimesToLive:
    """In seconds; infinity keeps things for ever.

    Uploads and results count from the last time that somebody stored or named them. A job goes with its
    result; `jobs` are those without one, from their end. Previews and intermediates stay as long as their job
    runs, and for so long after; those of jobs that can be tried again stay as long as the job.
    """

    uploads: float = 30 * _DAY
    results: float = 30 * _DAY
    jobs: float = 30 * _DAY
    previews: float = 0.0
    intermediates: float = 0.0

    def of(self, origin: Origin) -> float:
        """The time to live of an artifact."""
        return {
            Origin.UPLOAD: self.uploads,
            Origin.RESULT: self.results,
            Origin.PREVIEW: self.previews,
            Origin.INTERMEDIATE: self.intermediates,
        }[origin]

    def describe(self) -> str:
        """One line for people."""
        return (
            f"uploads {_lasting(self.uploads)}, results with their jobs {_lasting(self.results)}, unless "
            f"pinned; jobs without a result {_lasting(self.jobs)}; previews {_after_job(self.previews)}, "
            f"intermediates {_after_job(self.intermediates)}"
        )


def _lasting(seconds: float) -> str:
    return "for ever" if seconds == inf else f"for {_days(seconds)}"


def _after_job(seconds: float) -> str:
    if seconds == inf:
        return "for ever"
    return f"for {_days(seconds)} after their job" if seconds else "until their job ends"


def _days(seconds: float) -> str:
    days = seconds / _DAY
    return f"{days:g} day" if days == 1 else f"{days:g} days"

"""Deadlines: a moment by which work must be done, handed from the client down to a model's step loop."""

from __future__ import annotations

import time
from dataclasses import dataclass

from intarsia.errors import TimeLimit


@dataclass(frozen=True)
class Deadline:
    """A moment on the monotonic clock, in seconds; None for work that may take as long as it needs."""

    moment: float | None = None

    @classmethod
    def after(cls, seconds: float | None) -> Deadline:
        """The moment `seconds` from now."""
        return cls() if seconds is None else cls(time.monotonic() + seconds)

    def remaining(self) -> float | None:
        """Seconds that are left, more than 0; None without a deadline. Raises TimeLimit when time is up."""
        if self.moment is None:
            return None
        left = self.moment - time.monotonic()
        if left <= 0:
            raise TimeLimit("the time limit has passed; allow more time, or ask for less")
        return left

"""The display times of a clip's frames."""

from __future__ import annotations

from fractions import Fraction

_JITTER = Fraction(1, 1000)  # containers that count in milliseconds round times


class Timeline:
    """Computes each frame's time in seconds from the first frame, as exact as in the file. Times rise.

    A time that is missing, or no later than the one before, is computed from the average rate.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        """Timestamps of the file are in units of `time_base`; `rate` is the average in frames per second."""
        self._time_base = time_base
        self._step = max(1 / rate, time_base)
        self._start: Fraction | None = None
        self._last: Fraction | None = None
        self._interval: Fraction | None = None
        self._computed = self._varies = False

    def next(self, timestamp: int | None) -> Fraction:
        """The time of the next frame; `timestamp` is the file's, None if it has none."""
        expected = Fraction(0) if self._last is None else self._last + self._step
        time = expected
        if timestamp is not None:
            if self._start is None:
                self._start = timestamp * self._time_base - expected
            time = timestamp * self._time_base - self._start
        if timestamp is None or (self._last is not None and time <= self._last):
            time, self._computed = expected, True
        if self._last is not None:
            self._compare(time - self._last)
        self._last = time
        return time

    def notes(self) -> list[str]:
        """Notes about the times so far, in plain words."""
        notes = ["the frame rate varies; every frame keeps its time"] if self._varies else []
        if self._computed:
            notes.append("times that were missing or fell were computed from the average frame rate")
        return notes

    def _compare(self, interval: Fraction) -> None:
        self._interval = interval if self._interval is None else self._interval
        self._varies |= abs(interval - self._interval) > max(self._interval / 10, _JITTER)

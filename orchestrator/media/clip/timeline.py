"""When the frames of a clip are shown."""

from __future__ import annotations

from fractions import Fraction

_JITTER = Fraction(1, 1000)  # containers that count in milliseconds round


class Timeline:
    """Gives every frame its time in seconds from the first, as exact as the file has it. Times rise.

    A time that is missing, or no later than the one before, is made up from the average rate.
    """

    def __init__(self, time_base: Fraction, rate: Fraction) -> None:
        """Files tell times in units of `time_base`; `rate` is the average in frames a second."""
        self._time_base = time_base
        self._step = max(1 / rate, time_base)
        self._start: Fraction | None = None
        self._last: Fraction | None = None
        self._usual: Fraction | None = None
        self._made_up = self._varies = False

    def next(self, told: int | None) -> Fraction:
        """The time of the next frame, of which the file tells this one."""
        expected = Fraction(0) if self._last is None else self._last + self._step
        time = expected
        if told is not None:
            if self._start is None:
                self._start = told * self._time_base - expected
            time = told * self._time_base - self._start
        if told is None or (self._last is not None and time <= self._last):
            time, self._made_up = expected, True
        if self._last is not None:
            self._look_at(time - self._last)
        self._last = time
        return time

    def notes(self) -> list[str]:
        """What is worth knowing of the times so far, in plain words."""
        notes = ["the frame rate varies; every frame keeps its time"] if self._varies else []
        if self._made_up:
            notes.append("times that were missing or fell were made up from the average frame rate")
        return notes

    def _look_at(self, pause: Fraction) -> None:
        self._usual = pause if self._usual is None else self._usual
        self._varies |= abs(pause - self._usual) > max(self._usual / 10, _JITTER)

"""Circuit breakers: an endpoint that fails gets no new requests until a probe of it succeeds."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

from intarsia.errors import ModelDown

# The first probe may follow a failure at once; then the pause between probes, in seconds, doubles.
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 2.0


class BreakerState(Enum):
    """Closed: requests are let through. Open: none are. Half-open: a probe may be sent, or is under way."""

    CLOSED = 0
    HALF_OPEN = 1
    OPEN = 2


class Breaker:
    """The circuit breaker of one endpoint."""

    def __init__(self, clock: Callable[[], float]) -> None:
        """`clock` returns seconds and never goes back."""
        self._clock = clock
        self._probe_at = 0.0
        self._pause = 0.0
        self._probe = 0  # the number of the probe that is under way, 0 if none is
        self._probes = 0
        self.error: ModelDown | None = None  # why it is not closed

    @property
    def state(self) -> BreakerState:
        if self.error is None:
            return BreakerState.CLOSED
        if self._probe or self._clock() >= self._probe_at:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    def fail(self, error: ModelDown) -> None:
        """Opens it. If it is not closed, this changes nothing: the request began before it opened."""
        if self.error is None:
            self._open(error, pause=0.0)

    def succeed(self) -> None:
        """Closes it. A probe that is under way counts no more."""
        self.error, self._probe = None, 0

    def start_probe(self) -> int:
        """The number of the probe that the caller is to send now; 0 if it is to send none, because the
        breaker is not half-open or another probe is under way."""
        if self.state is not BreakerState.HALF_OPEN or self._probe:
            return 0
        self._probes += 1
        self._probe = self._probes
        return self._probe

    def fail_probe(self, probe: int, error: ModelDown) -> None:
        """Opens it for a longer pause, if this probe is under way."""
        if probe == self._probe:
            self._open(error, pause=min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE))

    def abandon_probe(self, probe: int) -> None:
        """Ends this probe without a result, if it is under way."""
        if probe == self._probe:
            self._probe = 0

    def _open(self, error: ModelDown, *, pause: float) -> None:
        self.error, self._probe = error, 0
        self._pause, self._probe_at = pause, self._clock() + pause

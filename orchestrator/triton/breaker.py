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
        self._probing = False
        self.error: ModelDown | None = None  # why it is not closed

    @property
    def state(self) -> BreakerState:
        if self.error is None:
            return BreakerState.CLOSED
        if self._probing or self._clock() >= self._probe_at:
            return BreakerState.HALF_OPEN
        return BreakerState.OPEN

    def fail(self, error: ModelDown) -> None:
        """Opens it. Failures of requests that began before it opened do not prolong the pause."""
        if self.error is not None and not self._probing:
            return
        self._pause = min(max(2 * self._pause, _FIRST_PAUSE), _LONGEST_PAUSE) if self._probing else 0.0
        self._probing = False
        self._probe_at = self._clock() + self._pause
        self.error = error

    def succeed(self) -> None:
        """Closes it."""
        self.error, self._probing = None, False

    def start_probe(self) -> bool:
        """True if the caller is to send a probe now: the breaker is half-open and no probe is under way."""
        if self.state is not BreakerState.HALF_OPEN or self._probing:
            return False
        self._probing = True
        return True

    def abandon_probe(self) -> None:
        """Ends a probe without a result, if one is under way."""
        self._probing = False

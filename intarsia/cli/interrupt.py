"""Ctrl-C at the wrong moment: a job that has been started, but whose name has not arrived yet."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Held:
    """Whether a Ctrl-C was held back."""

    asked = False


@contextmanager
def holding_interrupts() -> Iterator[Held]:
    """Holds one Ctrl-C back, for the caller to see to after the block; a second one is let through."""
    held = Held()

    def hold(number: int, frame: FrameType | None) -> None:
        held.asked = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield held  # Ctrl-C comes to the main thread only
        return
    before = signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)

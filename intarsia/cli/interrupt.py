"""Ctrl-C at a bad moment: after a job was started and before its name has arrived."""

from __future__ import annotations

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class HeldInterrupt:
    """True if a Ctrl-C was held back."""

    interrupted = False


@contextmanager
def holding_interrupts() -> Iterator[HeldInterrupt]:
    """Holds one Ctrl-C back, for the caller to handle after the block; a second one is raised at once."""
    held = HeldInterrupt()

    def hold(number: int, frame: FrameType | None) -> None:
        held.interrupted = True
        signal.signal(signal.SIGINT, before)

    if threading.current_thread() is not threading.main_thread():
        yield held  # Ctrl-C comes to the main thread only
        return
    before = signal.signal(signal.SIGINT, hold)
    try:
        yield held
    finally:
        signal.signal(signal.SIGINT, before)

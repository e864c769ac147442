"""How long work takes, less what its threads were kept waiting for a processor.

On a busy machine the wall clock measures the neighbours. Linux counts for each thread how long it was ready
to run and did not; where it does not say, nothing is taken off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_THREADS = Path("/proc/self/task")


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes in this process."""
    before, started = _waited(), time.perf_counter()
    work()
    took = time.perf_counter() - started
    return max(took - held_up(before, _waited()), 0.0)


def held_up(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Seconds lost between two looks at the threads.

    Threads of one pass wait for each other, so all are held up by the one that waited longest.
    """
    return max((waited - before.get(thread, 0.0) for thread, waited in after.items()), default=0.0)


def _waited() -> dict[str, float]:
    """Seconds each thread was ready and did not run, since it began."""
    found = {}
    for thread in os.listdir(_THREADS) if _THREADS.is_dir() else ():
        try:
            words = (_THREADS / thread / "schedstat").read_text().split()
        except OSError:  # it has just ended, or this kernel does not count
            continue
        if len(words) > 1:
            found[thread] = int(words[1]) / 1e9
    return found

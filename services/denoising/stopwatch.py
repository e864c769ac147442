"""The time that work takes, without what other programs took of the processor.

On a busy machine the wall clock measures other programs too. Linux counts for each thread how long it was
ready to run and did not; where it does not, nothing is taken off.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from pathlib import Path

_THREADS = Path("/proc/self/task")


def timed(work: Callable[[], object]) -> float:
    """Seconds that `work` takes in this process."""
    before, started, ran = _waited(), time.perf_counter(), time.thread_time()
    work()
    took, ran = time.perf_counter() - started, time.thread_time() - ran
    # The kernel may add a wait from before the work only now: this thread's own time is a lower bound.
    return max(took - held_up(before, _waited()), ran)


def held_up(before: Mapping[str, float], after: Mapping[str, float]) -> float:
    """Seconds lost between two looks at the threads.

    Threads of one pass wait for each other, so all lose what the one that waited longest lost.
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

"""Strips: bands of a picture's rows, compressed independently and in parallel.

Writing a large lossless file takes as long as compressing its rows. Strips are independent, so every core
compresses one, and the bytes depend neither on the number of cores nor on the order in which strips finish.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

T = TypeVar("T")
R = TypeVar("R")

# isal's compression level. The next one saves a few percent and takes a fifth longer.
EFFORT = 1

# Small enough that a small change touches few strips, large enough that a strip's own cost does not matter.
_STRIP_BYTES = 1 << 18
# The number of strips of a picture that are in work or wait for it at a time.
_AHEAD = 4 * len(os.sched_getaffinity(0))


def strip_height(row_bytes: int) -> int:
    """The number of rows of so many bytes in a strip."""
    return max(1, _STRIP_BYTES // row_bytes)


def map_threads(items: Iterable[T], work: Callable[[T], R]) -> Iterator[R]:
    """Applies `work` to every item in threads, on all cores; yields the results in order.

    Only a few items are taken in advance, so that they are never all in memory.
    """
    running: deque[Future[R]] = deque()
    for item in items:
        running.append(_pool().submit(work, item))
        if len(running) > _AHEAD:
            yield running.popleft().result()
    while running:
        yield running.popleft().result()


@cache
def _pool() -> ThreadPoolExecutor:
    """The pool for all files that are being written: more threads than cores would only use memory."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="strips")

"""Strips: bands of a picture's rows, each packed on its own, several at a time.

Lossless files of large pictures cost what packing their rows costs. Strips know nothing of each other, so
every core takes one, and the bytes that come out depend neither on how many cores there are nor on which
strip is ready first.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from functools import cache
from typing import TypeVar

Given = TypeVar("Given")
Made = TypeVar("Made")

# How hard isal tries. Beyond this, files shrink by a few percent and packing takes a fifth longer.
EFFORT = 1

# Small enough that a small change touches little, large enough that a strip costs nothing beside its rows.
_STRIP_BYTES = 1 << 18
# How many strips of a picture are worked on, or wait for it, at a time.
_AHEAD = 4 * len(os.sched_getaffinity(0))


def strip_height(row_bytes: int) -> int:
    """How many rows of so many bytes make a strip."""
    return max(1, _STRIP_BYTES // row_bytes)


def each(things: Iterable[Given], work: Callable[[Given], Made]) -> Iterator[Made]:
    """What `work` makes of every thing, in order; worked on in threads, on all cores.

    Things are taken only a few ahead of what is asked for, so that they are never all there at once.
    """
    under_way: deque[Future[Made]] = deque()
    for thing in things:
        under_way.append(_pool().submit(work, thing))
        if len(under_way) > _AHEAD:
            yield under_way.popleft().result()
    while under_way:
        yield under_way.popleft().result()


@cache
def _pool() -> ThreadPoolExecutor:
    """One for all files that are being written: more threads than cores would only need more memory."""
    return ThreadPoolExecutor(len(os.sched_getaffinity(0)), thread_name_prefix="strips")

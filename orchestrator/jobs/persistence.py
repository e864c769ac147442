"""Writes to the ledger that outlast a time in which its database is away or its disk is full."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

from intarsia.errors import Busy, ModelDown

log = logging.getLogger(__name__)

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.1, 2.0  # seconds between two attempts


async def until_written(write: Callable[[], Awaitable[T]]) -> T:
    """What a write returns, which is made again for as long as the database does not take it."""
    pause = FIRST_PAUSE
    while True:
        try:
            return await write()
        except (Busy, ModelDown) as away:
            if pause == FIRST_PAUSE:
                log.warning("not written yet, tried again: %s", away)
        await asyncio.sleep(pause)
        pause = min(2 * pause, LONGEST_PAUSE)

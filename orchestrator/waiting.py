"""Waiting for an event, but not for ever."""

from __future__ import annotations

import asyncio


async def happened(event: asyncio.Event, *, within: float) -> bool:
    """Whether the event came within so many seconds. Never swallows a cancellation."""
    waiter = asyncio.ensure_future(event.wait())
    try:
        done, _ = await asyncio.wait({waiter}, timeout=max(0.0, within))
        return bool(done)
    finally:
        waiter.cancel()

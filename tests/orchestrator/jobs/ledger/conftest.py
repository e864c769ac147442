"""Ledgers on SQLite and on PostgreSQL, whose time the tests decide."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator, Sequence
from itertools import count
from typing import Any

import pytest

from orchestrator.jobs.job import JobFilter
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import ClaimableJob, Entry, Hold, NewJob
from orchestrator.jobs.ledger.ledger import Ledger
from tests.orchestrator.jobs.ledger.clock import Clock

_names = count()


def job(caller: str = "me", method: str = "EditRegion", **changes: Any) -> NewJob:
    """A job with a name greater than all before."""
    values = {
        "name": f"jobs/{next(_names):08}",
        "caller": caller,
        "method": method,
        "request": "{}",
        "sent": "a",
    }
    return NewJob(**{**values, **changes})


async def claim(ledger: Ledger, name: str, owner: str = "owner", lease: float = 15) -> tuple[Hold, Entry]:
    """A job, claimed by name."""
    taken = await ledger.claim(owner, lease, lambda jobs: name)
    assert taken is not None
    return taken


async def claimable(ledger: Ledger) -> Sequence[ClaimableJob]:
    """The jobs that may be claimed, in order."""
    found: list[ClaimableJob] = []
    assert await ledger.claim("nobody", 15, found.extend) is None  # type: ignore[arg-type, func-returns-value]
    return found


async def listed(ledger: Ledger, **filter: Any) -> list[str]:
    """The names of one's jobs that a filter lets pass."""
    chosen = JobFilter(**{field: frozenset(values) for field, values in filter.items()})
    return [one.name for one in await ledger.list("me", chosen)]


@pytest.fixture
def clock(url: str) -> Iterator[Clock]:
    clock = Clock(url)
    yield clock
    clock.close()


@pytest.fixture
async def database(url: str, clock: Clock) -> AsyncIterator[Database]:
    opened = await Database.open(url, clock=clock)
    yield opened
    await opened.close()


@pytest.fixture
def ledger(database: Database) -> Ledger:
    return Ledger(database)

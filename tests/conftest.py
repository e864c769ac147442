"""What holds for every test."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

from tests.debian_packages import skip_without
from tests.postgres import Postgres, binaries

# Threads of a pass wait for each other by spinning: two of them are no quicker with networks as small as
# these, and on a busy machine fifty times as slow. Heard by whoever imports torch from here on, in programs
# that tests start too.
os.environ.setdefault("OMP_NUM_THREADS", "1")

# How long an example takes says more about what else the machine does than about the code.
settings.register_profile("intarsia", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("intarsia")

# Whoever runs the tests in the background has Ctrl-C switched off for them and for every program they start,
# some of which are to be ended that way.
signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Postgres]:
    """The PostgreSQL that tests share; each has a schema of its own there."""
    skip_without("postgresql", installed=binaries() is not None)
    with Postgres() as server:
        yield server


@pytest.fixture
def own_postgres() -> Iterator[Postgres]:
    """A PostgreSQL of one's own, to stop and start."""
    skip_without("postgresql", installed=binaries() is not None)
    with Postgres(durable=True) as server:
        yield server

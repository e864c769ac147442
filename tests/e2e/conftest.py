"""One real stack for all tests here: Triton with all its models, the supervisor, the orchestrator."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

import intarsia
from deploy.local.stack import Stack, StackSettings
from deploy.local.supervisor import ProbeLimits
from tests.e2e.triton import TritonClient

# Two threads make the passes of small networks slower on a shared machine, not faster.
THREADS = 1


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Random bundles of every component."""
    from training.tiny import write

    return write(tmp_path_factory.mktemp("weights"), seed=0)


@pytest.fixture(scope="session")
def stack(weights: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform, as `intarsia up` runs it, with shorter probe limits."""
    settings = StackSettings(
        data=tmp_path_factory.mktemp("stack"),
        weights=weights,
        threads=THREADS,
        probe_limits=ProbeLimits(interval=0.5, timeout=15.0),
        environment={
            "INTARSIA_STALL_FLOOR_SECONDS": "5",
            "INTARSIA_STALL_FIRST_SECONDS": "10",
            # Edits of a hundred steps are long by these.
            "INTARSIA_CHECKPOINT_AFTER_SECONDS": "0.5",
            "INTARSIA_CHECKPOINT_SECONDS": "0.3",
        },
    )
    with Stack(settings) as running:
        yield running


@pytest.fixture
def client(stack: Stack) -> Iterator[intarsia.Client]:
    """A user's client."""
    with intarsia.Client(stack.address) as opened:
        yield opened


@pytest.fixture
def models(stack: Stack) -> Iterator[TritonClient]:
    """A plain client to Triton."""
    with TritonClient(stack.triton.url, stack.triton.key) as opened:
        yield opened

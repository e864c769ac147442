from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.bundles.bundle import Bundle
from training import tiny


@pytest.fixture(scope="session", autouse=True)
def one_thread():
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the random bundles `ip2p` and `sam`; not to be changed."""
    return tiny.write(tmp_path_factory.mktemp("weights"))


@pytest.fixture(scope="session")
def ip2p(weights: Path) -> Bundle:
    return Bundle.open(weights / "ip2p")


@pytest.fixture(scope="session")
def sam_bundle(weights: Path) -> Bundle:
    return Bundle.open(weights / "sam")

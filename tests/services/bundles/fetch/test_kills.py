"""A fetch that is killed at any moment leaves no bundle, and the next one goes on where it was."""

from __future__ import annotations

import math
import multiprocessing
import os
import random
import signal
from pathlib import Path
from typing import Any

import pytest
from huggingface_hub import constants

from services.bundles.bundle import BundleError, open_bundles
from services.bundles.cli import main
from services.bundles.fetch import hub
from services.bundles.verify import verify
from tests.services.bundles.fetch.conftest import Publication

# Every process begins as a copy of one that has imported what it needs.
CONTEXT = multiprocessing.get_context("forkserver")
CONTEXT.set_forkserver_preload(
    [__name__, "services.bundles.convert.diffusers_layout", "diffusers", "transformers"]
)


def fetch(words: list[str], cache: str, renames: float = math.inf, count: float = math.inf) -> None:
    """Fetches in a process of its own, which kills itself after so many renames or bytes."""
    constants.HF_HUB_CACHE = cache
    constants.DOWNLOAD_CHUNK_SIZE = 1 << 14  # so much may be lost; 10 MB of a large file
    rename, write = os.replace, hub._Bounded.write

    def counted_rename(*arguments: Any) -> None:
        nonlocal renames
        renames -= 1
        if renames < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        rename(*arguments)

    def counted_write(self: Any, data: bytes) -> int:
        nonlocal count
        count -= len(data)
        if count < 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return write(self, data)

    os.replace, hub._Bounded.write = counted_rename, counted_write  # type: ignore[assignment, method-assign]
    raise SystemExit(main(words))


def words_for(publication: Publication, folder: Path) -> list[str]:
    words = ["fetch", publication.source.name, "--to", str(folder / "full"), "--yes", "--json"]
    words += ["--sources", str(publication.describe(folder / "sources")), "--config", str(publication.config)]
    return [*words, "--endpoint", publication.hub.endpoint]


def run(words: list[str], cache: Path, **limits: float) -> int | None:
    """Fetches in another process; gives its exit code."""
    process = CONTEXT.Process(target=fetch, args=(words, str(cache)), kwargs=limits)
    process.start()
    process.join()
    return process.exitcode


def no_bundle(folder: Path) -> bool:
    with pytest.raises(BundleError, match=r"no bundle in|no weights at"):
        open_bundles(folder)
    return True


def test_killed_at_random_while_bytes_come_it_goes_on_where_it_was(ip2p, hub, tmp_path, own_cache):
    words, rng = words_for(ip2p, tmp_path), random.Random(5)
    largest, kept = max(len(content) for content in ip2p.files.values()), 0
    for _ in range(3):
        count = rng.randrange(1 << 15, largest // 3)
        assert run(words, own_cache, count=count) == -signal.SIGKILL and no_bundle(tmp_path / "full")
        before, kept = kept, sum(file.stat().st_size for file in own_cache.rglob("blobs/*"))
        assert before + count - (1 << 15) <= kept <= before + count, "hardly anything that came is lost"
    hub.requests.clear()
    assert main(words) == 0 and verify(tmp_path / "full" / "ip2p").sound
    assert any(request.start >= kept for request in hub.downloads), "what was here was not fetched again"


def test_killed_before_it_renames_something_it_leaves_no_half_bundle(ip2p, tmp_path, own_cache):
    words = words_for(ip2p, tmp_path)
    # Before the second of five files, the record beside the bundle, the converted bundle, and its name.
    for renames in (1, 4, 1, 2):
        assert run(words, own_cache, renames=renames) == -signal.SIGKILL and no_bundle(tmp_path / "full")
    assert (tmp_path / "full" / ".fetch" / "ip2p" / "unet").is_dir(), "all but the name was there"
    assert run(words, own_cache) == 0 and verify(tmp_path / "full" / "ip2p").sound
    assert sorted(path.name for path in (tmp_path / "full").iterdir()) == [".fetch.lock", "ip2p", "ip2p.toml"]

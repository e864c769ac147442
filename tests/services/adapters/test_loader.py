"""The adapter loader: files are read one at a time, and requests do not wait for it."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from services.adapters.cache import AdapterCache
from services.adapters.file import digest_of
from services.adapters.loader import AdapterLoader
from services.refusal import Refusal, invalid
from tests.services.denoising.doubles import Listener, Sketch, Tint, engine, request


class Waiter:
    """Submits an adapter and waits for the reply."""

    def __init__(self) -> None:
        self.told = threading.Event()
        self.found: dict | None = None
        self.refusal: Refusal | None = None
        self.left = False

    def gone(self) -> bool:
        return self.left

    def report(self, found) -> None:
        self.found = dict(found)
        self.told.set()

    def refuse(self, refusal: Refusal) -> None:
        self.refusal = refusal
        self.told.set()


class Reader:
    """Reads files of one letter, when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.began = threading.Semaphore(0)
        self.letters: list[str] = []

    def read(self, content: Tensor) -> Tint:
        self.began.release()
        assert self.may.wait(20)
        letter = chr(int(content[0]))
        self.letters.append(letter)
        if letter == "x":
            raise invalid("adapter", "holds nothing for this network")
        assert letter != "y", "unlucky, at /secret/place"
        tint = Tint(letter)
        tint.key = digest_of(content)
        return tint


@pytest.fixture
def reader() -> Reader:
    return Reader()


@pytest.fixture
def cache() -> AdapterCache:
    return AdapterCache(Sketch().network, 250)


@pytest.fixture
def loader(reader, cache):
    opened = AdapterLoader(reader.read, cache)
    yield opened
    reader.may.set()
    opened.close()


def a_file(letter: str, size: int = 3) -> Tensor:
    return torch.full((size,), ord(letter), dtype=torch.uint8)


def submitted(loader: AdapterLoader, letter: str) -> Waiter:
    waiter = Waiter()
    loader.submit(a_file(letter), waiter)
    assert waiter.told.wait(20)
    return waiter


def test_an_adapter_that_fits_is_reported_and_can_be_used(loader, cache):
    waiter = submitted(loader, "a")
    assert waiter.found == {"key": "a" * 64}
    assert cache.find(digest_of(a_file("a"))) is not None


def test_an_adapter_that_does_not_fit_is_refused_and_the_next_is_read(loader, cache):
    wrong, failed, good = (submitted(loader, letter) for letter in "xya")
    assert str(wrong.refusal) == "INVALID_FIELD: adapter holds nothing for this network"
    assert failed.refusal is not None and failed.refusal.reason == "INTERNAL"
    assert "/secret" not in failed.refusal.message
    assert good.found and cache.facts()["count"] == 1


def test_an_adapter_in_the_cache_is_not_read_again_but_counts_as_used(loader, reader, cache):
    for letter in "abac":
        assert submitted(loader, letter).found
    assert reader.letters == ["a", "b", "c"]
    assert cache.find(digest_of(a_file("b"))) is None, "the one that was used longest ago has left"


def test_requests_step_and_finish_while_an_adapter_is_read(loader, reader):
    reader.may.clear()
    waiter, subscriber, loop = Waiter(), Listener(), engine()
    loader.submit(a_file("a"), waiter)
    assert reader.began.acquire(timeout=20)
    loop.start()
    loop.admit(request(), subscriber)
    loop.close()
    assert subscriber.latents is not None and not waiter.told.is_set()
    reader.may.set()
    assert waiter.told.wait(20) and waiter.found


def test_only_a_few_may_wait(loader, reader):
    reader.may.clear()
    waiters = [Waiter() for _ in range(4)]
    for waiter in waiters:
        loader.submit(a_file("a"), waiter)
    with pytest.raises(Refusal, match="BUSY: 4 adapters are waiting to be read; try again later"):
        loader.submit(a_file("b"), Waiter())
    reader.may.set()
    assert all(waiter.told.wait(20) and waiter.found for waiter in waiters)
    assert submitted(loader, "b").found


def test_the_file_of_an_abandoned_request_is_not_read(loader, reader):
    reader.may.clear()
    first, left = Waiter(), Waiter()
    loader.submit(a_file("a"), first)
    loader.submit(a_file("b"), left)
    left.left = True
    reader.may.set()
    assert left.told.wait(20)
    assert left.refusal is not None and left.refusal.reason == "CANCELLED" and reader.letters == ["a"]


def test_closing_finishes_what_was_submitted(reader, cache):
    loader, waiters = AdapterLoader(reader.read, cache), [Waiter(), Waiter()]
    for waiter, letter in zip(waiters, "ab", strict=True):
        loader.submit(a_file(letter), waiter)
    loader.close()
    assert all(waiter.found for waiter in waiters)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (torch.zeros(3), "adapter must be UINT8, the bytes of a safetensors file"),
        (torch.zeros(3, 1, dtype=torch.uint8), "adapter must be UINT8"),
        (a_file("a", 251), "adapter has 251 bytes; at most 250 are read"),
    ],
)
def test_bytes_that_cannot_be_read_are_refused_at_once(loader, reader, content, complaint):
    with pytest.raises(Refusal, match=f"INVALID_FIELD: {complaint}"):
        loader.submit(content, Waiter())
    assert reader.letters == []


@pytest.mark.parametrize(("shortages", "reason"), [(1, None), (2, "BUSY")])
def test_a_file_for_which_there_is_too_little_memory_is_read_again_once_memory_is_given_back(
    reader, cache, shortages, reason
):
    released = []

    def read(content: Tensor) -> Tint:
        if len(reader.letters) < shortages:
            reader.letters.append("")
            raise torch.OutOfMemoryError("CUDA out of memory")
        return reader.read(content)

    loader = AdapterLoader(read, cache, lambda: released.append(len(reader.letters)))
    waiter = submitted(loader, "a")
    loader.close()
    assert released == [1]
    assert (waiter.refusal and waiter.refusal.reason) == reason
    assert (waiter.found is None) == (reason is not None)

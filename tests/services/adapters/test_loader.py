"""The fitting room: adapters are read one at a time, and nobody else waits for it."""

from __future__ import annotations

import threading

import pytest
import torch
from torch import Tensor

from services.adapters.cache import Wardrobe
from services.adapters.file import digest_of
from services.adapters.loader import FittingRoom
from services.refusal import Refusal, invalid
from tests.services.denoising.doubles import Listener, Sketch, Tint, engine, request


class Visitor:
    """Brings an adapter and waits for what is said of it."""

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


class Tailor:
    """Reads files of one letter, when it may."""

    def __init__(self) -> None:
        self.may = threading.Event()
        self.may.set()
        self.began = threading.Semaphore(0)
        self.read: list[str] = []

    def fit(self, content: Tensor) -> Tint:
        self.began.release()
        assert self.may.wait(20)
        letter = chr(int(content[0]))
        self.read.append(letter)
        if letter == "x":
            raise invalid("adapter", "holds nothing for this network")
        assert letter != "y", "unlucky, at /secret/place"
        tint = Tint(letter)
        tint.key = digest_of(content)
        return tint


@pytest.fixture
def tailor() -> Tailor:
    return Tailor()


@pytest.fixture
def wardrobe() -> Wardrobe:
    return Wardrobe(Sketch().network, 250)


@pytest.fixture
def room(tailor, wardrobe):
    opened = FittingRoom(tailor.fit, wardrobe)
    yield opened
    tailor.may.set()
    opened.close()


def a_file(letter: str, size: int = 3) -> Tensor:
    return torch.full((size,), ord(letter), dtype=torch.uint8)


def brought(room: FittingRoom, letter: str) -> Visitor:
    visitor = Visitor()
    room.bring(a_file(letter), visitor)
    assert visitor.told.wait(20)
    return visitor


def test_what_fits_is_told_and_can_be_worn_from_then_on(room, wardrobe):
    visitor = brought(room, "a")
    assert visitor.found == {"key": "a" * 64}
    assert wardrobe.find(digest_of(a_file("a"))) is not None


def test_what_does_not_fit_is_said_and_the_next_one_is_read_all_the_same(room, wardrobe):
    wrong, failed, good = (brought(room, letter) for letter in "xya")
    assert str(wrong.refusal) == "INVALID_FIELD: adapter holds nothing for this network"
    assert failed.refusal is not None and failed.refusal.reason == "INTERNAL"
    assert "/secret" not in failed.refusal.message
    assert good.found and wardrobe.facts()["count"] == 1


def test_what_is_here_already_is_not_read_again_but_counts_as_new(room, tailor, wardrobe):
    for letter in "abac":
        assert brought(room, letter).found
    assert tailor.read == ["a", "b", "c"]
    assert wardrobe.find(digest_of(a_file("b"))) is None, "the one that was brought longest ago has left"


def test_requests_step_and_finish_while_an_adapter_is_read(room, tailor):
    tailor.may.clear()
    visitor, asker, loop = Visitor(), Listener(), engine()
    room.bring(a_file("a"), visitor)
    assert tailor.began.acquire(timeout=20)
    loop.start()
    loop.admit(request(), asker)
    loop.close()
    assert asker.latents is not None and not visitor.told.is_set()
    tailor.may.set()
    assert visitor.told.wait(20) and visitor.found


def test_only_a_few_may_wait(room, tailor):
    tailor.may.clear()
    visitors = [Visitor() for _ in range(4)]
    for visitor in visitors:
        room.bring(a_file("a"), visitor)
    with pytest.raises(Refusal, match="BUSY: 4 adapters are waiting to be read; try again later"):
        room.bring(a_file("b"), Visitor())
    tailor.may.set()
    assert all(visitor.told.wait(20) and visitor.found for visitor in visitors)
    assert brought(room, "b").found


def test_who_left_is_not_served(room, tailor):
    tailor.may.clear()
    first, left = Visitor(), Visitor()
    room.bring(a_file("a"), first)
    room.bring(a_file("b"), left)
    left.left = True
    tailor.may.set()
    assert left.told.wait(20)
    assert left.refusal is not None and left.refusal.reason == "CANCELLED" and tailor.read == ["a"]


def test_closing_finishes_what_was_let_in(tailor, wardrobe):
    room, visitors = FittingRoom(tailor.fit, wardrobe), [Visitor(), Visitor()]
    for visitor, letter in zip(visitors, "ab", strict=True):
        room.bring(a_file(letter), visitor)
    room.close()
    assert all(visitor.found for visitor in visitors)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (torch.zeros(3), "adapter must be UINT8, the bytes of a safetensors file"),
        (torch.zeros(3, 1, dtype=torch.uint8), "adapter must be UINT8"),
        (a_file("a", 251), "adapter has 251 bytes; at most 250 are read"),
    ],
)
def test_what_is_no_file_that_can_be_read_is_refused_at_the_door(room, tailor, content, complaint):
    with pytest.raises(Refusal, match=f"INVALID_FIELD: {complaint}"):
        room.bring(content, Visitor())
    assert tailor.read == []

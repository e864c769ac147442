import weakref

import numpy as np
import pytest

from orchestrator.media.picture.encode import encode
from orchestrator.media.picture.picture import Picture, decode
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.picture.png import Strip
from tests.orchestrator.media.picture.files import noise

# For a picture of 10 x 10: its levels, and as much for its strips.
ROOM = 2 * 300


def picture(side: int, alpha: bool = False) -> Picture:
    levels = noise(side, side, 4)
    return Picture(levels[..., :3].copy(), levels[..., 3].copy() if alpha else None, None, None, "PNG", 8)


def test_the_least_recently_used_picture_is_dropped_first():
    opened = PictureCache(3 * ROOM)
    pictures = {name: picture(10) for name in "abcd"}
    for name in "abc":
        opened.keep(name, pictures[name])
    assert opened.get("a") is pictures["a"]
    opened.keep("d", pictures["d"])
    assert opened.get("b") is None
    assert [opened.get(name) is pictures[name] for name in "acd"] == [True] * 3


def test_alpha_counts_and_a_picture_larger_than_the_budget_is_not_cached():
    opened = PictureCache(ROOM + 1)
    opened.keep("opaque", picture(10))
    opened.keep("clear", picture(10, alpha=True))
    assert opened.get("opaque") is not None and opened.get("clear") is None


def test_a_large_picture_evicts_several_small_ones():
    opened = PictureCache(4 * ROOM + ROOM // 3)
    for n in range(4):
        opened.keep(str(n), picture(10))
    opened.keep("large", picture(20))
    assert opened.get("large") is not None
    assert sum(opened.get(str(n)) is not None for n in range(4)) == 0


def test_at_most_16_small_pictures_are_cached():
    opened = PictureCache(10**9)
    for n in range(100):
        opened.keep(str(n), picture(4))
    assert [n for n in range(100) if opened.get(str(n)) is not None] == list(range(84, 100))


def test_strips_are_dropped_with_their_picture():
    opened = PictureCache(ROOM)
    first, second = picture(10), picture(10)
    opened.keep("first", first)
    strip = Strip(b"", 1, 0)
    opened.strips(first)[0] = strip
    assert opened.strips(first) == {0: strip} and opened.strips(second) == {}
    opened.keep("second", second)
    gone = weakref.ref(first)
    del first
    assert gone() is None


def test_a_picture_that_is_shared_cannot_be_written_to():
    found = decode(encode(picture(10, alpha=True)).data)
    with pytest.raises(ValueError, match="read-only"):
        found.pixels[0, 0] = 0
    with pytest.raises(ValueError, match="read-only"):
        found.alpha[0, 0] = 0
    assert found.pixels.copy().flags.writeable and isinstance(found.alpha, np.ndarray)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from services.cache import Kept


@given(some.lists(some.tuples(some.binary(max_size=1), some.integers(1, 12), some.booleans()), max_size=60))
def test_the_budget_holds_and_the_last_asked_for_is_there(calls):
    kept: Kept[int] = Kept(20, lambda value: value)
    values: dict[bytes, int] = {}
    for key, value, ask in calls:
        if ask:
            found = kept.get(key)
            assert found is None or found == values[key]
        else:
            kept.keep(key, value)
            values[key] = value
            assert kept.get(key) == value
        assert kept.bytes <= 20
    there = [key for key in values if kept.get(key) is not None]
    assert len(kept) == len(there)
    assert kept.bytes == sum(values[key] for key in there)


def test_what_was_asked_for_longest_ago_goes_first():
    kept: Kept[str] = Kept(2, len)
    kept.keep(b"a", "x")
    kept.keep(b"b", "x")
    kept.get(b"a")
    kept.keep(b"c", "x")
    assert (kept.get(b"a"), kept.get(b"b"), kept.get(b"c")) == ("x", None, "x")


def test_something_larger_than_the_whole_budget_is_not_kept_and_drives_nothing_out():
    kept: Kept[str] = Kept(2, len)
    kept.keep(b"b", "x")
    kept.keep(b"a", "large")
    assert kept.get(b"a") is None and kept.get(b"b") == "x"
    assert kept.facts() == {"count": 1, "bytes": 1, "budget_bytes": 2, "hits": 1, "misses": 1}


def test_what_nobody_asks_for_is_forgotten_after_a_while():
    now = [0.0]
    kept: Kept[str] = Kept(10, len, idle=5, clock=lambda: now[0])
    for key in (b"a", b"b", b"c"):
        kept.keep(key, "xy")
    now[0] = 4.0
    assert kept.get(b"a") == "xy"
    kept.keep(b"b", "x")
    now[0] = 5.0
    assert kept.facts()["count"] == 2 and kept.bytes == 3
    assert (kept.get(b"c"), kept.get(b"b")) == (None, "x")
    now[0] = 9.5
    kept.keep(b"d", "x")
    assert (kept.get(b"a"), kept.get(b"b"), kept.get(b"d")) == (None, "x", "x")


def test_what_is_forgotten_makes_room():
    kept: Kept[str] = Kept(10, len)
    kept.keep(b"a", "xy")
    kept.forget(b"a")
    kept.forget(b"a")
    assert (kept.get(b"a"), kept.bytes, len(kept)) == (None, 0, 0)

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from services.kept import Kept


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

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as some

from services.cache import ByteBudgetCache


@given(some.lists(some.tuples(some.binary(max_size=1), some.integers(1, 12), some.booleans()), max_size=60))
def test_the_budget_holds_and_the_latest_value_is_there(calls):
    cache: ByteBudgetCache[int] = ByteBudgetCache(20, lambda value: value)
    values: dict[bytes, int] = {}
    for key, value, ask in calls:
        if ask:
            found = cache.get(key)
            assert found is None or found == values[key]
        else:
            cache.put(key, value)
            values[key] = value
            assert cache.get(key) == value
        assert cache.bytes <= 20
    there = [key for key in values if cache.get(key) is not None]
    assert len(cache) == len(there)
    assert cache.bytes == sum(values[key] for key in there)


def test_the_least_recently_used_value_goes_first():
    cache: ByteBudgetCache[str] = ByteBudgetCache(2, len)
    cache.put(b"a", "x")
    cache.put(b"b", "x")
    cache.get(b"a")
    cache.put(b"c", "x")
    assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"c")) == ("x", None, "x")


def test_something_larger_than_the_whole_budget_is_not_cached_and_removes_nothing():
    cache: ByteBudgetCache[str] = ByteBudgetCache(2, len)
    cache.put(b"b", "x")
    cache.put(b"a", "large")
    assert cache.get(b"a") is None and cache.get(b"b") == "x"
    assert cache.facts() == {"count": 1, "bytes": 1, "budget_bytes": 2, "hits": 1, "misses": 1}


def test_an_idle_value_is_removed_after_its_timeout():
    now = [0.0]
    cache: ByteBudgetCache[str] = ByteBudgetCache(10, len, idle=5, clock=lambda: now[0])
    for key in (b"a", b"b", b"c"):
        cache.put(key, "xy")
    now[0] = 4.0
    assert cache.get(b"a") == "xy"
    cache.put(b"b", "x")
    now[0] = 5.0
    assert cache.facts()["count"] == 2 and cache.bytes == 3
    assert (cache.get(b"c"), cache.get(b"b")) == (None, "x")
    now[0] = 9.5
    cache.put(b"d", "x")
    assert (cache.get(b"a"), cache.get(b"b"), cache.get(b"d")) == (None, "x", "x")


def test_a_discarded_value_frees_its_bytes():
    cache: ByteBudgetCache[str] = ByteBudgetCache(10, len)
    cache.put(b"a", "xy")
    cache.discard(b"a")
    cache.discard(b"a")
    assert (cache.get(b"a"), cache.bytes, len(cache)) == (None, 0, 0)

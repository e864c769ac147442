from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest

from orchestrator.aio import map_ahead


class Work:
    """Squares numbers when it is told to; counts what has begun and what was cancelled."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.cancelled: list[int] = []
        self.go = asyncio.Event()

    async def __call__(self, number: int) -> int:
        self.begun.append(number)
        try:
            await self.go.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        if number == 13:
            raise ValueError("unlucky")
        return number * number


async def numbers(*some: int) -> AsyncGenerator[int, None]:
    for number in some:
        yield number


@pytest.mark.parametrize("ahead", [0, 1, 2, 9])
async def test_results_come_in_order_and_work_begins_no_earlier_than_it_may(ahead: int) -> None:
    work = Work()
    work.go.set()
    seen = []
    async with aclosing(map_ahead(work, numbers(*range(5)), ahead=ahead)) as results:
        async for number, square in results:
            assert square == number * number
            assert len(work.begun) <= number + 1 + ahead
            seen.append(number)
    assert seen == work.begun == list(range(5))


async def test_what_was_begun_for_later_items_is_cancelled_at_the_end() -> None:
    work = Work()
    async with aclosing(map_ahead(work, numbers(1, 2, 3, 4), ahead=2)) as results:
        first = asyncio.ensure_future(anext(results))
        while len(work.begun) < 3:
            await asyncio.sleep(0)
        work.go.set()
        assert await first == (1, 1)
        work.go.clear()
        assert await anext(results) == (2, 4)
        second_last = asyncio.ensure_future(anext(results))
        await asyncio.sleep(0)
        second_last.cancel()
        await asyncio.gather(second_last, return_exceptions=True)
    assert work.begun == [1, 2, 3, 4] and work.cancelled == [4]


async def test_a_failure_is_raised_in_its_turn() -> None:
    work = Work()
    work.go.set()
    seen = []
    with pytest.raises(ValueError, match="unlucky"):
        async with aclosing(map_ahead(work, numbers(1, 2, 13, 3, 4), ahead=2)) as results:
            async for number, _ in results:
                seen.append(number)
    assert seen == [1, 2]

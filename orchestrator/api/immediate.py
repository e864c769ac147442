"""Rpcs that are answered within the call: a limited number at a time, each within a time limit."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import TypeVar

import grpc

from intarsia.errors import Busy, TimeLimit
from orchestrator.caller import Caller
from orchestrator.deadline import Deadline
from orchestrator.runs.run import Run
from orchestrator.stages.factory import StageFactory, Stages

T = TypeVar("T")


class ImmediateCalls:
    """Runs unary rpcs under a concurrency limit and a time limit."""

    def __init__(self, stage_factory: StageFactory, *, at_once: int, time_limit: float) -> None:
        self._stage_factory, self._at_once, self._time_limit = stage_factory, at_once, time_limit
        self._open = 0

    async def run(
        self,
        caller: Caller,
        context: grpc.aio.ServicerContext,
        work: Callable[[Stages], Awaitable[T]],
        *,
        what: str,
    ) -> T:
        """The result of `work`, called with stages of its own; `what` says in an error what was not done in
        time. Raises `Busy` and `TimeLimit`."""
        if self._open >= self._at_once:
            raise Busy(
                f"{self._open} requests of this kind are being answered already; try again in a moment"
            )
        client = context.time_remaining()
        seconds = self._time_limit if client is None else min(client, self._time_limit)
        at = self._stage_factory.at(Run(Deadline.after(seconds)))
        self._open += 1
        try:
            return await asyncio.wait_for(work(at), seconds)
        except asyncio.TimeoutError:
            raise TimeLimit(f"{what} within {seconds:.3g} s; allow more time") from None
        finally:
            self._open -= 1

"""The pulse of a model: whether the process that its open streams began in still lives.

Triton leaves the streams of a dead process open without a word. A question for facts tells: they do not wait
for the step loop, Triton refuses them at once when the process has ended, and they say how long the process
that answers has been there. A process that lives and is silent does not answer; that says nothing.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Any

from intarsia.errors import IntarsiaError, ModelDown, NotReady

SECONDS = 2.0  # of silence, after which one asks


@dataclass(frozen=True)
class _Question:
    """A question, and when it was asked. Its answer: the moment since which the process has been there."""

    asked: float
    answer: asyncio.Future[float]


class Pulse:
    """Asks for all streams of an endpoint that are silent: one question at a time."""

    def __init__(self, model: str, facts: Callable[[], Awaitable[Mapping[str, Any]]]) -> None:
        """`facts` asks the model for them anew."""
        self._model, self._facts = model, facts
        self._question: _Question | None = None

    async def end(self, began: float, reply: asyncio.Future[Any], within: float) -> bool:
        """True if the process that a stream `began` in has ended. False if that is not so, or not known, or
        as soon as its next reply has come."""
        question = self._question
        if question is None or (question.answer.done() and time.monotonic() - question.asked > SECONDS / 2):
            asked = time.monotonic()
            question = self._question = _Question(asked, asyncio.ensure_future(self._ask(asked)))
        waited = {reply, question.answer}
        await asyncio.wait(waited, timeout=within, return_when=asyncio.FIRST_COMPLETED)
        if reply.done() or not question.answer.done() or question.answer.cancelled():
            return False
        # A question from before may have met the process before.
        return question.asked >= began and question.answer.result() > began

    def ended(self) -> ModelDown:
        """The error of a stream whose process has ended."""
        return ModelDown(f"the process of {self._model} has ended; try again in a moment", model=self._model)

    async def _ask(self, asked: float) -> float:
        try:
            uptime = (await self._facts()).get("uptime")
        except (ModelDown, NotReady):  # NotReady: it is being loaded again
            return math.inf
        except IntarsiaError:
            return -math.inf
        return asked - uptime if isinstance(uptime, int | float) else -math.inf


class StreamLife:
    """The life of the process that one stream began in; made when the stream begins."""

    def __init__(self, pulse: Pulse) -> None:
        self._pulse, self._began = pulse, time.monotonic()

    async def wait(self, reply: asyncio.Future[Any], *, within: float) -> None:
        """Waits for the next reply for so many seconds; raises ModelDown if the process has ended."""
        until = time.monotonic() + within
        while not reply.done() and (left := until - time.monotonic()) > 0:
            await asyncio.wait({reply}, timeout=min(left, SECONDS))
            left = until - time.monotonic()
            if not reply.done() and left > 0 and await self._pulse.end(self._began, reply, left):
                raise self._pulse.ended()

"""A model as its stage sees it: together with what it says about itself."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np

from intarsia.errors import Busy, InternalError, InvalidRequest, ModelDown, NotReady
from orchestrator.deadline import Deadline
from orchestrator.models.admission import Door, Line
from orchestrator.triton.model import Home, Model
from orchestrator.triton.tensors import Tensors, from_text, text

# A model tells its facts at once or not at all.
_FACTS_SECONDS = 20.0
# They are asked for again after a while: weights may be changed without our noticing.
_FACTS_KEPT_SECONDS = 60.0


class Served:
    """A model in Triton together with its facts, which are read anew after it was down, and now and then."""

    def __init__(
        self, model: Model, door: Door, *, fields: Mapping[str, str], decoupled: bool = False
    ) -> None:
        """`fields` tells which field of a request each tensor came from, to name it when one is refused.

        `decoupled` models can only be streamed.
        """
        self._model, self._door, self._fields = model, door, fields
        self._decoupled = decoupled
        self._facts: dict[str, Any] | None = None
        self._facts_until = 0.0

    @property
    def name(self) -> str:
        return self._model.name

    async def facts(self) -> dict[str, Any]:
        """What the model says about itself."""
        if self._facts is None or time.monotonic() > self._facts_until:
            deadline = Deadline.after(_FACTS_SECONDS + self._door.endurance.away)
            # New numbers make it a new question: Triton's cache goes on answering an old one after a reload.
            ask = {"ask": text("facts"), "known": np.random.default_rng().random(4, np.float32)}
            reply: Tensors = {}
            if self._decoupled:
                async with aclosing(self.stream(ask, deadline=deadline)) as replies:
                    reply = await anext(replies, {})
            else:
                reply = await self.infer(ask, deadline=deadline)
            if "facts" not in reply:
                raise InternalError(f"{self.name} told nothing about itself")
            self._facts, self._facts_until = from_text(reply["facts"]), time.monotonic() + _FACTS_KEPT_SECONDS
        return self._facts

    async def infer(
        self, inputs: Tensors, *, deadline: Deadline, home: Home | None = None
    ) -> dict[str, np.ndarray]:
        """One question, one answer. Waits for a model that is full or away.

        Of a model that is served at several addresses, questions with the same `home` go to one.
        """
        line = Line(self._door, deadline)
        while True:
            try:
                reply = await self._model.infer(inputs, deadline=deadline, home=home)
            except (Busy, ModelDown) as error:
                self._note(error)
                await line.wait(error)
            except InvalidRequest as error:
                raise self._named(error) from None
            else:
                self._door.left()
                return reply

    async def stream(
        self, inputs: Tensors, *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """One question, many answers. Close it when done. Waits for a model that is full or away.

        What breaks after the first answer is not begun again: whoever listens has told of progress.
        """
        line = Line(self._door, deadline)
        while True:
            began = False
            try:
                async with aclosing(self._model.stream(inputs, deadline=deadline)) as replies:
                    async for reply in replies:
                        began = True
                        yield reply
                return
            except (Busy, ModelDown) as error:
                self._note(error)
                if began:
                    raise
                await line.wait(error)
            except InvalidRequest as error:
                raise self._named(error) from None
            finally:
                if began:
                    self._door.left()

    def _note(self, error: Busy | ModelDown) -> None:
        if isinstance(error, ModelDown):
            self._facts = None  # what comes back may have other weights

    def _named(self, error: InvalidRequest) -> Exception:
        """The error with the request's field in place of the tensor; a fault if it came from no field."""
        field = self._fields.get(error.field)
        if field is None:
            return InternalError(f"{self.name} refused what it was sent: {error.message}")
        return InvalidRequest(error.message, field=field, **error.facts)


async def of_family(served: Served, family: str) -> Mapping[str, Any]:
    """What a model that serves several families says about one of them."""
    families = (await served.facts())["families"]
    if family not in families:
        raise NotReady(
            f"{served.name} has no weights for {family}; it has {', '.join(sorted(families)) or 'none'}"
        )
    return families[family]

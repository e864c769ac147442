"""The client of one model: its requests, which wait while it is full or away, and its facts."""

from __future__ import annotations

import time
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from typing import Any

import numpy as np

from intarsia.errors import Busy, InternalError, InvalidRequest, ModelDown, NotReady
from orchestrator.deadline import Deadline
from orchestrator.models.admission import ModelQueue, Waiter
from orchestrator.triton.model import Affinity, Model
from orchestrator.triton.tensors import Tensors, from_text, text

# A model tells its facts at once or not at all.
_FACTS_SECONDS = 20.0
# They are asked for again after a while: weights may be changed without our noticing.
_FACTS_KEPT_SECONDS = 60.0


class ModelClient:
    """Requests to a model in Triton, and its facts, which are read again after it was down."""

    def __init__(
        self, model: Model, queue: ModelQueue, *, fields: Mapping[str, str], decoupled: bool = False
    ) -> None:
        """`fields` maps each tensor to the field of a request that it came from, for error messages.

        `decoupled` models can only be streamed.
        """
        self._model, self._queue, self._fields = model, queue, fields
        self._decoupled = decoupled
        self._facts: dict[str, Any] | None = None
        self._facts_until = 0.0

    @property
    def name(self) -> str:
        return self._model.name

    async def facts(self) -> dict[str, Any]:
        """The facts that the model publishes about itself."""
        if self._facts is None or time.monotonic() > self._facts_until:
            deadline = Deadline.after(_FACTS_SECONDS + self._queue.limits.away)
            # New numbers make it a new question: Triton's cache goes on answering an old one after a reload.
            ask = {"ask": text("facts"), "known": np.random.default_rng().random(4, np.float32)}
            reply: Tensors = {}
            if self._decoupled:
                async with aclosing(self.stream(ask, deadline=deadline)) as replies:
                    reply = await anext(replies, {})
            else:
                reply = await self.infer(ask, deadline=deadline)
            if "facts" not in reply:
                raise InternalError(f"{self.name} sent no facts")
            self._facts, self._facts_until = from_text(reply["facts"]), time.monotonic() + _FACTS_KEPT_SECONDS
        return self._facts

    async def infer(
        self, inputs: Tensors, *, deadline: Deadline, affinity: Affinity | None = None
    ) -> dict[str, np.ndarray]:
        """The answer to a unary request. Waits for a model that is full or away.

        Of a model that is served at several addresses, requests with the same `affinity` go to one.
        """
        waiter = Waiter(self._queue, deadline)
        while True:
            try:
                reply = await self._model.infer(inputs, deadline=deadline, affinity=affinity)
            except (Busy, ModelDown) as error:
                self._note(error)
                await waiter.wait(error)
            except InvalidRequest as error:
                raise self._with_field(error) from None
            else:
                self._queue.notify()
                return reply

    async def stream(
        self, inputs: Tensors, *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """The answers to a streaming request. Close it when done. Waits for a model that is full or away.

        A stream that breaks after its first answer is not started again: its progress was reported already.
        """
        waiter = Waiter(self._queue, deadline)
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
                await waiter.wait(error)
            except InvalidRequest as error:
                raise self._with_field(error) from None
            finally:
                if began:
                    self._queue.notify()

    def _note(self, error: Busy | ModelDown) -> None:
        if isinstance(error, ModelDown):
            self._facts = None  # what comes back may have other weights

    def _with_field(self, error: InvalidRequest) -> Exception:
        """The error with the request's field in place of the tensor; a fault if it came from no field."""
        field = self._fields.get(error.field)
        if field is None:
            return InternalError(f"{self.name} refused its input: {error.message}")
        return InvalidRequest(error.message, field=field, **error.facts)


async def family_facts(client: ModelClient, family: str) -> Mapping[str, Any]:
    """The facts about one family, from a model that serves several."""
    families = (await client.facts())["families"]
    if family not in families:
        raise NotReady(
            f"{client.name} has no weights for {family}; it has {', '.join(sorted(families)) or 'none'}"
        )
    return families[family]

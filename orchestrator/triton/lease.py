"""Leases: the use of one endpoint by requests that belong together."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Iterator, Mapping
from contextlib import aclosing, contextmanager
from typing import Any

import numpy as np

from intarsia.errors import InternalError, InvalidRequest
from orchestrator.deadline import Deadline
from orchestrator.triton.endpoint import Endpoint
from orchestrator.triton.known_keys import KnownKeys
from orchestrator.triton.tensors import Tensors


class Lease:
    """The use of one endpoint by requests that belong together.

    Its work is counted in steps x latent cells for a stream of a denoiser, and as 1 for a unary request or
    for requests that come one after the other. Only leases of one model are compared.
    """

    def __init__(self, endpoint: Endpoint, work: float, fields: Mapping[str, str]) -> None:
        """`fields` maps each tensor to the field of a request that it came from, for error messages."""
        self.endpoint, self.remaining = endpoint, work
        self.begun = False  # whether a stream has answered, so that its progress was reported
        self._work, self._fields = work, fields

    @property
    def known(self) -> KnownKeys:
        """The keys of pictures and adapters that were sent to the endpoint."""
        return self.endpoint.known

    async def facts(self, *, deadline: Deadline) -> Mapping[str, Any]:
        """The facts that the model publishes about itself there."""
        with self._fields_named():
            return await self.endpoint.facts(deadline=deadline)

    async def first_reply(self, inputs: Tensors, *, deadline: Deadline) -> Tensors:
        """The only reply to a request, of a decoupled model too. The lease does not count as begun by it."""
        with self._fields_named():
            return await self.endpoint.first_reply(inputs, deadline=deadline)

    async def infer(self, inputs: Tensors, *, deadline: Deadline) -> dict[str, np.ndarray]:
        """The reply to a unary request."""
        with self._fields_named():
            return await self.endpoint.infer(inputs, deadline=deadline)

    async def stream(
        self, inputs: Tensors, *, deadline: Deadline
    ) -> AsyncGenerator[dict[str, np.ndarray], None]:
        """The replies to a streaming request. Close it when done."""
        with self._fields_named():
            async with aclosing(self.endpoint.stream(inputs, deadline=deadline)) as replies:
                async for reply in replies:
                    self.begun = True
                    yield reply

    def progress(self, done: int, of: int) -> None:
        """Notes that `done` steps of `of` are over."""
        self.remaining = self._work * (1 - done / of)

    @contextmanager
    def _fields_named(self) -> Iterator[None]:
        """Names the request's field in place of the refused tensor; a fault if it came from no field."""
        try:
            yield
        except InvalidRequest as error:
            field = self._fields.get(error.field)
            if field is None:
                fault = f"{self.endpoint.model} refused its input: {error.message}"
                raise InternalError(fault) from None
            raise InvalidRequest(error.message, field=field, **error.facts) from None

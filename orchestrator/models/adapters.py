"""Adapters of denoisers: which one a request means, and their upload to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any

import numpy as np

from intarsia.errors import InternalError, InvalidRequest
from orchestrator.deadline import Deadline
from orchestrator.models.client import ModelClient
from orchestrator.models.known_keys import KnownKeys
from orchestrator.triton.tensors import Tensors, from_text, text
from store.artifact import PREFIX, ArtifactStore

# No message to a model may be longer than 2 GiB.
_LARGEST = (2 << 30) - (1 << 20)


@dataclass(frozen=True)
class AdapterRef:
    """An adapter by its artifact's name, and how strongly it acts."""

    artifact: str
    strength: float = 1.0

    @property
    def key(self) -> str:
        """The SHA-256 of its bytes, by which models know it."""
        return self.artifact.removeprefix(PREFIX)


@dataclass(frozen=True)
class AdapterUploads:
    """Uploads adapters from the store to one model."""

    client: ModelClient
    store: ArtifactStore
    known: KnownKeys  # adapters that this process has uploaded lately

    async def check(self, adapters: Sequence[AdapterRef], deadline: Deadline) -> None:
        """Finds out whether the model can use these adapters: uploads those that it may not know."""
        for n, adapter in enumerate(adapters):
            if adapter.key.encode() not in self.known:
                await self.upload(adapter.artifact, adapter_field(n), deadline)

    async def upload(self, adapter: str, field: str, deadline: Deadline) -> Mapping[str, Any]:
        """Uploads an adapter; the model validates it against its layers and keeps it. Its report.

        InvalidRequest for the `field` that names it if nothing in it fits, or it is too large.
        """
        size = (await self.store.describe(adapter)).size
        most = min((await self.client.facts())["adapters"]["budget_bytes"], _LARGEST)
        if size > most:
            raise InvalidRequest(
                f"the adapter has {size} bytes, and at most {most} are read here; use a smaller one",
                field=field,
            )
        data = np.frombuffer(await self.store.load(adapter), np.uint8)
        inputs = {"ask": text("adapter"), "adapter": data}
        try:
            async with aclosing(self.client.stream(inputs, deadline=deadline)) as replies:
                reply: Tensors = await anext(replies, {})
        except InvalidRequest as error:
            raise InvalidRequest(error.message, field=field, **error.facts) from None
        if "facts" not in reply:
            raise InternalError(f"{self.client.name} sent no facts about an adapter")
        self.known.add(adapter.removeprefix(PREFIX).encode())
        return from_text(reply["facts"])


def adapter_field(n: int) -> str:
    """The field by which a request names its n-th adapter."""
    return f"adapters[{n}].adapter"

"""Adapters of denoisers: which one a request means, and their upload to a model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from intarsia.errors import InternalError, InvalidRequest
from orchestrator.models.client import ModelClient
from orchestrator.runs.run import Run
from orchestrator.triton.lease import Lease
from orchestrator.triton.tensors import from_text, text
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

    @property
    def known_as(self) -> bytes:
        """Its key among those that were sent to an endpoint."""
        return self.key.encode()


@dataclass(frozen=True)
class AdapterUploads:
    """Uploads adapters from the store to a denoiser. Bound to one run."""

    client: ModelClient
    run: Run
    store: ArtifactStore

    async def check(self, adapters: Sequence[AdapterRef]) -> None:
        """Finds out whether the model can use these adapters: uploads those that no endpoint may know."""
        for n, adapter in enumerate(adapters):
            if not self.client.is_known(adapter.known_as):
                upload = partial(self.ensure, adapter, adapter_field(n))
                await self.client.run(upload, deadline=self.run.deadline, work=0.0)

    async def inspect(self, adapter: AdapterRef, field: str) -> Mapping[str, Any]:
        """Uploads an adapter to an endpoint; the model's report about it."""
        upload = partial(self._upload, adapter, field)
        return await self.client.run(upload, deadline=self.run.deadline, work=0.0)

    async def ensure(self, adapter: AdapterRef, field: str, lease: Lease) -> None:
        """Uploads an adapter to the leased endpoint if it may not know it; of many callers at once, one
        does."""
        async with lease.known.uploading(adapter.known_as):
            if adapter.known_as not in lease.known:
                await self._upload(adapter, field, lease)

    async def _upload(self, adapter: AdapterRef, field: str, lease: Lease) -> Mapping[str, Any]:
        """Uploads an adapter to the leased endpoint; the model validates it against its layers and keeps it.

        Returns its report. InvalidRequest for the `field` that names it if nothing in it fits, or it is too
        large.
        """
        size = (await self.store.describe(adapter.artifact)).size
        facts = await lease.facts(deadline=self.run.deadline)
        most = min(facts["adapters"]["budget_bytes"], _LARGEST)
        if size > most:
            raise InvalidRequest(
                f"the adapter has {size} bytes, and at most {most} are read here; use a smaller one",
                field=field,
            )
        data = np.frombuffer(await self.store.load(adapter.artifact), np.uint8)
        inputs = {"ask": text("adapter"), "adapter": data}
        try:
            reply = await lease.first_reply(inputs, deadline=self.run.deadline)
        except InvalidRequest as error:
            raise InvalidRequest(error.message, field=field, **error.facts) from None
        if "facts" not in reply:
            raise InternalError(f"{self.client.name} sent no facts about an adapter")
        lease.known.add(adapter.known_as)
        return from_text(reply["facts"])


def adapter_field(n: int) -> str:
    """The field by which a request names its n-th adapter."""
    return f"adapters[{n}].adapter"

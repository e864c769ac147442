"""The models that an orchestrator uses, and one connection to each address."""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping, Sequence

from orchestrator.triton.connection import Connections
from orchestrator.triton.endpoints import Endpoints
from orchestrator.triton.stall import StallLimits


class Models:
    """The endpoints of every model by its name. Models at the same address share a connection."""

    def __init__(
        self,
        urls: Mapping[str, Sequence[str]],
        limits: StallLimits,
        *,
        decoupled: Collection[str] = (),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`urls` holds the addresses, `host:port`, of every model; `decoupled` names those that stream."""
        self._connections = Connections()
        self._endpoints = {
            model: Endpoints(
                model, some, self._connections, limits, decoupled=model in decoupled, clock=clock
            )
            for model, some in urls.items()
        }

    def __getitem__(self, model: str) -> Endpoints:
        return self._endpoints[model]

    async def close(self) -> None:
        """Closes all connections, and ends the calls that are under way."""
        for endpoints in self._endpoints.values():
            await endpoints.close()
        await self._connections.close()

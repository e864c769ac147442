"""Every model an orchestrator talks to, and one connection to each address."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from orchestrator.triton.model import Address, Model
from orchestrator.triton.stall import StallLimits


class Models:
    """Models by name. Models at the same address share a connection."""

    def __init__(self, urls: Mapping[str, Sequence[str]], limits: StallLimits) -> None:
        """`urls` tells the addresses, `host:port`, of every model by its name."""
        self._addresses = {
            url: Address(url) for url in sorted({url for some in urls.values() for url in some})
        }
        self._models = {
            name: Model(name, [self._addresses[url] for url in some], limits) for name, some in urls.items()
        }

    def __getitem__(self, name: str) -> Model:
        return self._models[name]

    async def close(self) -> None:
        """Ends every connection, and with them whatever is still under way."""
        for address in self._addresses.values():
            await address.close()

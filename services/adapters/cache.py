"""A cache of adapters for a network, bounded by bytes, and their application to one forward pass.

The network's own weights are never changed. During the pass, every layer that an adapter is for adds a delta
to its output; before and after it the network is the one that was loaded, to the bit.
"""

from __future__ import annotations

import threading
from collections import Counter, OrderedDict, defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Protocol

from torch import Tensor, nn

from services.refusal import Refusal, invalid

Delta = Callable[[nn.Module, Tensor], Tensor]  # (layer, its input) -> what is added to its output


class LoadedAdapter(Protocol):
    """Deltas for the layers of a network, ready to be applied."""

    @property
    def key(self) -> str:
        """The digest of its file."""

    @property
    def nbytes(self) -> int:
        """The memory it takes."""

    @property
    def report(self) -> Mapping[str, Any]:
        """Facts about it, in plain values."""

    @property
    def deltas(self) -> Mapping[str, Sequence[Delta]]:
        """The deltas it adds to outputs of layers, by the layer's name."""


@dataclass(frozen=True, order=True)
class AdapterUse:
    """An adapter and how strongly a request applies it."""

    key: str
    strength: float


class AdapterCache:
    """An LRU cache of adapters within a budget of bytes.

    Pinned adapters are not evicted. Any thread may add and pin; only the thread that owns the network may
    apply them.
    """

    def __init__(self, network: nn.Module, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._layers = dict(network.named_modules())
        self._lock = threading.Lock()
        self._entries: OrderedDict[str, LoadedAdapter] = OrderedDict()  # guarded by _lock, as is the next
        self._pinned: Counter[str] = Counter()

    def find(self, key: str) -> LoadedAdapter | None:
        """The adapter with this key, or None."""
        with self._lock:
            return self._entries.get(key)

    def add(self, adapter: LoadedAdapter) -> None:
        """Adds an adapter; raises Refusal if it does not fit beside those that are pinned."""
        if adapter.nbytes > self.budget_bytes:
            raise invalid(
                "adapter",
                f"takes {_mib(adapter.nbytes)} MiB here, but all of them together may take no more than "
                f"{_mib(self.budget_bytes)} MiB; use a smaller one",
            )
        with self._lock:
            if adapter.key in self._entries:
                self._entries.move_to_end(adapter.key)
                return
            pinned = sum(entry.nbytes for key, entry in self._entries.items() if self._pinned[key])
            if pinned + adapter.nbytes > self.budget_bytes:
                raise Refusal("BUSY", "no room for this adapter beside those in use; try again later")
            idle = [key for key in self._entries if not self._pinned[key]]
            while self._bytes() + adapter.nbytes > self.budget_bytes:
                del self._entries[idle.pop(0)]
            self._entries[adapter.key] = adapter

    def pin(self, uses: Iterable[AdapterUse]) -> None:
        """Keeps all of these until `unpin`; raises Refusal, pinning none, if one is not in the cache."""
        keys = [use.key for use in uses]
        with self._lock:
            for key in keys:
                if key not in self._entries:
                    raise Refusal(
                        "UNKNOWN_ADAPTER", f'adapter {key} is not loaded here; send it with ask = "adapter"'
                    )
            for key in keys:
                self._pinned[key] += 1
                self._entries.move_to_end(key)

    def unpin(self, uses: Iterable[AdapterUse]) -> None:
        """Ends one `pin` of the same."""
        with self._lock:
            self._pinned.subtract(use.key for use in uses)
            self._pinned = +self._pinned

    @contextmanager
    def applied(self, uses: Sequence[AdapterUse]) -> Iterator[None]:
        """Applies these adapters, which must be pinned, until the context ends."""
        added: dict[str, list[tuple[Delta, float]]] = defaultdict(list)
        for use in uses:
            adapter = self.find(use.key)
            if adapter is None:
                raise RuntimeError("an adapter that is not pinned cannot be applied")
            for name, deltas in adapter.deltas.items():
                added[name] += [(delta, use.strength) for delta in deltas]
        hooks = [self._layers[name].register_forward_hook(_adding(deltas)) for name, deltas in added.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def facts(self) -> dict[str, int]:
        """Count and bytes of the adapters in the cache, and its budget."""
        with self._lock:
            return {"count": len(self._entries), "bytes": self._bytes(), "budget_bytes": self.budget_bytes}

    def _bytes(self) -> int:
        return sum(adapter.nbytes for adapter in self._entries.values())


def _adding(deltas: Sequence[tuple[Delta, float]]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def add(layer: nn.Module, inputs: Any, output: Tensor) -> Tensor:
        for delta, strength in deltas:
            output = output.add(delta(layer, inputs[0]), alpha=strength)
        return output

    return add


def _mib(size: int) -> int:
    return max(round(size / 2**20), 1)

"""The adapters at hand for a network, and how it wears them.

The network's own weights are never touched. For one pass, every layer that an adapter is for adds something
to its answer; before and after it the network is the one that was loaded, to the bit.
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

Delta = Callable[[nn.Module, Tensor], Tensor]  # a layer and what it sees -> what is added to its answer


class Adapter(Protocol):
    """What changes a network's answers, ready to be worn."""

    @property
    def key(self) -> str:
        """Its name."""

    @property
    def nbytes(self) -> int:
        """The memory it takes."""

    @property
    def report(self) -> Mapping[str, Any]:
        """What is known of it, in plain values."""

    @property
    def deltas(self) -> Mapping[str, Sequence[Delta]]:
        """What it adds to the answers of layers, by the layer's name."""


@dataclass(frozen=True, order=True)
class Worn:
    """An adapter as a request wants it."""

    key: str
    strength: float


class Wardrobe:
    """Keeps adapters within a budget of bytes; what was worn longest ago leaves first.

    What is lent to somebody stays. Any thread may keep and lend; only the one that owns the network may let
    it wear something.
    """

    def __init__(self, network: nn.Module, budget_bytes: int) -> None:
        self.budget_bytes = budget_bytes
        self._layers = dict(network.named_modules())
        self._lock = threading.Lock()
        self._kept: OrderedDict[str, Adapter] = OrderedDict()  # guarded by _lock, as is the next
        self._lent: Counter[str] = Counter()

    def find(self, key: str) -> Adapter | None:
        """The adapter of this name, if it is here."""
        with self._lock:
            return self._kept.get(key)

    def keep(self, adapter: Adapter) -> None:
        """Takes an adapter in; raises Refusal if there is no room beside those that are lent."""
        if adapter.nbytes > self.budget_bytes:
            raise invalid(
                "adapter",
                f"takes {_mib(adapter.nbytes)} MiB here, but all of them together may take no more than "
                f"{_mib(self.budget_bytes)} MiB; use a smaller one",
            )
        with self._lock:
            if adapter.key in self._kept:
                self._kept.move_to_end(adapter.key)
                return
            lent = sum(kept.nbytes for key, kept in self._kept.items() if self._lent[key])
            if lent + adapter.nbytes > self.budget_bytes:
                raise Refusal("BUSY", "no room for this adapter beside those in use; try again later")
            idle = [key for key in self._kept if not self._lent[key]]
            while self._bytes() + adapter.nbytes > self.budget_bytes:
                del self._kept[idle.pop(0)]
            self._kept[adapter.key] = adapter

    def lend(self, worn: Iterable[Worn]) -> None:
        """Holds all of these until they are given back; raises Refusal, holding none, if one is not here."""
        keys = [one.key for one in worn]
        with self._lock:
            for key in keys:
                if key not in self._kept:
                    raise Refusal(
                        "UNKNOWN_ADAPTER", f'adapter {key} is not loaded here; send it with ask = "adapter"'
                    )
            for key in keys:
                self._lent[key] += 1
                self._kept.move_to_end(key)

    def give_back(self, worn: Iterable[Worn]) -> None:
        """Ends one `lend` of the same."""
        with self._lock:
            self._lent.subtract(one.key for one in worn)
            self._lent = +self._lent

    @contextmanager
    def wearing(self, worn: Sequence[Worn]) -> Iterator[None]:
        """Until its end the network wears these adapters, which must be lent, each as strongly as is said."""
        added: dict[str, list[tuple[Delta, float]]] = defaultdict(list)
        for one in worn:
            adapter = self.find(one.key)
            if adapter is None:
                raise RuntimeError("an adapter that was not lent cannot be worn")
            for name, deltas in adapter.deltas.items():
                added[name] += [(delta, one.strength) for delta in deltas]
        hooks = [self._layers[name].register_forward_hook(_adding(deltas)) for name, deltas in added.items()]
        try:
            yield
        finally:
            for hook in hooks:
                hook.remove()

    def facts(self) -> dict[str, int]:
        """How full it is."""
        with self._lock:
            return {"count": len(self._kept), "bytes": self._bytes(), "budget_bytes": self.budget_bytes}

    def _bytes(self) -> int:
        return sum(adapter.nbytes for adapter in self._kept.values())


def _adding(deltas: Sequence[tuple[Delta, float]]) -> Callable[[nn.Module, Any, Tensor], Tensor]:
    def add(layer: nn.Module, seen: Any, answer: Tensor) -> Tensor:
        for delta, strength in deltas:
            answer = answer.add(delta(layer, seen[0]), alpha=strength)
        return answer

    return add


def _mib(size: int) -> int:
    return max(round(size / 2**20), 1)

"""Loads adapters and validates them against the network's layers, one at a time, beside the step loop.

Reading a large one takes seconds, during which requests are admitted and stepped as usual.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from services.adapters.cache import AdapterCache, LoadedAdapter
from services.adapters.file import digest_of
from services.refusal import Refusal, invalid, refusal_for

log = logging.getLogger(__name__)

LARGEST = 2 << 30  # bytes of a file; fewer where all adapters together may not take as much
_QUEUE = 4  # files that wait or are being read; each is in memory


class LoadWaiter(Protocol):
    """The sender of an adapter. Called from the loader's thread; neither call may raise."""

    def gone(self) -> bool:
        """True once the reply is no longer wanted."""

    def report(self, facts: Mapping[str, Any]) -> None:
        """The adapter fits and can be used from now on."""

    def refuse(self, refusal: Refusal) -> None:
        """The adapter cannot be used."""


class AdapterLoader:
    """Reads adapters by `read`, which raises Refusal, and adds them to the cache."""

    def __init__(
        self,
        read: Callable[[Tensor], LoadedAdapter],
        cache: AdapterCache,
        release: Callable[[], None] = lambda: None,
    ) -> None:
        """`release` gives back memory that is kept to be fast; it is called from the loader's thread."""
        self._read, self._cache, self._release = read, cache, release
        self._largest = min(LARGEST, cache.budget_bytes)
        self._slots = threading.BoundedSemaphore(_QUEUE)
        self._thread = ThreadPoolExecutor(1, "adapter-loader")

    def submit(self, content: Tensor, waiter: LoadWaiter) -> None:
        """Queues the bytes of a file, to be answered to the waiter; raises Refusal if the queue is full."""
        if content.dtype != torch.uint8 or content.ndim != 1:
            raise invalid("adapter", "must be UINT8, the bytes of a safetensors file")
        if content.numel() > self._largest:
            raise invalid("adapter", f"has {content.numel()} bytes; at most {self._largest} are read")
        if not self._slots.acquire(blocking=False):
            raise Refusal("BUSY", f"{_QUEUE} adapters are waiting to be read; try again later")
        self._thread.submit(self._load, content, waiter)

    def close(self) -> None:
        """Finishes what is queued, and ends."""
        self._thread.shutdown()

    def _load(self, content: Tensor, waiter: LoadWaiter) -> None:
        try:
            if waiter.gone():
                raise Refusal("CANCELLED", "the caller has gone")
            adapter = self._cache.find(digest_of(content)) or self._loaded(content)
            self._cache.add(adapter)
        except Refusal as refusal:
            waiter.refuse(refusal)
        except Exception as fault:  # ends this one and not the thread that serves the next
            log.exception("an adapter could not be read")
            waiter.refuse(refusal_for(fault))
        else:
            waiter.report(adapter.report)
        finally:
            self._slots.release()

    def _loaded(self, content: Tensor) -> LoadedAdapter:
        try:
            return self._read(content)
        except torch.OutOfMemoryError:
            log.warning("an adapter found too little memory and is read again without graphs of passes")
        self._release()
        return self._read(content)

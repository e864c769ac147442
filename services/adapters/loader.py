"""The fitting room: adapters are held against the network beside the step loop, one at a time.

Reading a large one takes seconds, in which requests go on coming in, stepping and leaving.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Protocol

import torch
from torch import Tensor

from services.adapters.cache import Adapter, Wardrobe
from services.adapters.file import digest_of
from services.refusal import Refusal, invalid, refusal_for

log = logging.getLogger(__name__)

LARGEST = 2 << 30  # bytes of a file; fewer where all adapters together may not take as much
_LINE = 4  # files that wait or are being read; each is in memory


class Fitter(Protocol):
    """Whoever brought an adapter. Called from the room's thread; neither may raise."""

    def gone(self) -> bool:
        """True once nobody waits for the answer any more."""

    def report(self, found: Mapping[str, Any]) -> None:
        """It fits, and can be worn from now on."""

    def refuse(self, refusal: Refusal) -> None:
        """It does not."""


class FittingRoom:
    """Reads adapters by `fit`, which raises Refusal, and hangs them into the wardrobe."""

    def __init__(self, fit: Callable[[Tensor], Adapter], wardrobe: Wardrobe) -> None:
        self._fit, self._wardrobe = fit, wardrobe
        self._largest = min(LARGEST, wardrobe.budget_bytes)
        self._places = threading.BoundedSemaphore(_LINE)
        self._thread = ThreadPoolExecutor(1, "fitting-room")

    def bring(self, content: Tensor, fitter: Fitter) -> None:
        """Lets a file's bytes in; who brought them is told later. Raises Refusal if there is no room."""
        if content.dtype != torch.uint8 or content.ndim != 1:
            raise invalid("adapter", "must be UINT8, the bytes of a safetensors file")
        if content.numel() > self._largest:
            raise invalid("adapter", f"has {content.numel()} bytes; at most {self._largest} are read")
        if not self._places.acquire(blocking=False):
            raise Refusal("BUSY", f"{_LINE} adapters are waiting to be read; try again later")
        self._thread.submit(self._try_on, content, fitter)

    def close(self) -> None:
        """Finishes what was let in, and ends."""
        self._thread.shutdown()

    def _try_on(self, content: Tensor, fitter: Fitter) -> None:
        try:
            if fitter.gone():
                raise Refusal("CANCELLED", "nobody waits for this any more")
            adapter = self._wardrobe.find(digest_of(content)) or self._fit(content)
            self._wardrobe.keep(adapter)
        except Refusal as refusal:
            fitter.refuse(refusal)
        except Exception as fault:  # ends this one and not the thread that serves the next
            log.exception("an adapter could not be read")
            fitter.refuse(refusal_for(fault))
        else:
            fitter.report(adapter.report)
        finally:
            self._places.release()

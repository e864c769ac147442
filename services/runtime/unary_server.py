"""The door to a model that answers one question at a time: Triton hands requests over, answers go back."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

import torch
import triton_python_backend_utils as pb

from services.cache import Kept
from services.refusal import Refusal, refusal_for
from services.runtime import introspection, watchdog
from services.runtime.tensors import Tensors, received, refused, response


class Service(Protocol):
    """What a model offers at the door."""

    inputs: Sequence[str]

    def answer(self, request: Mapping[str, torch.Tensor]) -> Tensors:
        """The outputs for one request's inputs; raises Refusal."""

    def probe(self) -> None:
        """A small piece of real work."""

    def facts(self) -> dict[str, Any]:
        """What is loaded."""


class BatchDoor:
    """Answers requests in order, each on its own: whatever is wrong with one is no other's business."""

    def __init__(
        self,
        service: Service,
        *,
        kept_bytes: int = 0,
        kept_for: str | None = None,
        asks: Mapping[str, Callable[[Tensors], None]] | None = None,
    ) -> None:
        """`asks`: what else `ask` may hold, and what is then done before the facts are told.

        `kept_bytes`: how much of past answers to keep for the same question; 0 for none. With `kept_for`,
        the name of an input, only answers to questions with that input are kept.

        Triton's own response cache will not do: it keeps a refusal as an answer without tensors, lets the
        old answers of a model outlive its reloading, and goes on answering probes of a dead one.
        """
        self._service = service
        self._kept: Kept[Tensors] | None = Kept(kept_bytes, _size) if kept_bytes else None
        self._kept_for = kept_for
        self._asks = dict(asks or {})
        self._names = (*service.inputs, *introspection.INPUTS)
        watchdog.end_with_the_server()
        service.probe()  # the first pass is slow, and a model that cannot do it must not be ready

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each of Triton's requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        if request.is_cancelled():
            return refused(Refusal("CANCELLED", "the caller has gone"))
        try:
            tensors = received(request, self._names)
            asked = introspection.question(tensors, *self._asks)
            if asked is None:
                return response(self._answered(tensors))
            if asked == "probe":
                self._service.probe()
            elif asked in self._asks:
                self._asks[asked](tensors)
            return response(introspection.answer(self._facts(), tensors))
        except Refusal as refusal:
            return refused(refusal)
        except Exception as fault:  # must not end the process that serves everybody else
            pb.Logger.log_error(traceback.format_exc())
            return refused(refusal_for(fault))

    def _answered(self, tensors: Tensors) -> Tensors:
        if self._kept is None or (self._kept_for is not None and self._kept_for not in tensors):
            return self._service.answer(tensors)
        key = _key(tensors)
        found = self._kept.get(key)
        if found is None:
            found = self._service.answer(tensors)
            self._kept.keep(key, found)
        return found

    def _facts(self) -> dict[str, Any]:
        facts = self._service.facts()
        return facts if self._kept is None else {**facts, "kept": self._kept.facts()}


def _key(tensors: Tensors) -> bytes:
    """Of a question: every input's name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.digest()


def _size(answer: Tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in answer.values())

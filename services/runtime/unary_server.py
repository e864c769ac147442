"""The server of a model that answers requests one at a time: requests of Triton in, responses out."""

from __future__ import annotations

import hashlib
import traceback
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Protocol

import torch
import triton_python_backend_utils as pb

from services.cache import ByteBudgetCache
from services.refusal import Refusal, refusal_for
from services.runtime import introspection, required_weights, watchdog
from services.runtime.tensors import Tensors, received, refused, response


class Service(Protocol):
    """A model as it is served."""

    inputs: Sequence[str]

    def answer(self, request: Mapping[str, torch.Tensor]) -> Tensors:
        """The outputs for one request's inputs; raises Refusal."""

    def digest(self, request: Mapping[str, torch.Tensor]) -> str:
        """The digest of the weights that answer a request; raises Refusal."""

    def probe(self) -> None:
        """Do a small piece of real work."""

    def facts(self) -> dict[str, Any]:
        """A description of what is loaded."""


class UnaryServer:
    """Answers requests in order, each by itself: a fault of one does not affect other requests."""

    def __init__(
        self,
        service: Service,
        *,
        cache_bytes: int = 0,
        cache_only: Collection[str] = (),
        asks: Mapping[str, Callable[[Tensors], None]] | None = None,
    ) -> None:
        """`asks`: further values of `ask`, and what each does before the facts are returned.

        `cache_bytes`: the budget of a cache of answers, for requests that are equal; 0 for none. With
        `cache_only`, names of inputs, only answers to requests with one of these inputs are cached.

        Triton's own response cache does not fit: it stores a refusal as an answer without tensors, does not
        clear a model's old answers when the model is reloaded, and answers probes of a dead one.
        """
        self._service = service
        self._cache: ByteBudgetCache[Tensors] | None = (
            ByteBudgetCache(cache_bytes, _size) if cache_bytes else None
        )
        self._cache_only = frozenset(cache_only)
        self._asks = dict(asks or {})
        self._names = (*service.inputs, required_weights.INPUT, *introspection.INPUTS)
        watchdog.start()
        service.probe()  # the first pass is slow, and a model that cannot do it must not be ready

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each of Triton's requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        if request.is_cancelled():
            return refused(Refusal("CANCELLED", "the caller has left"))
        try:
            tensors = received(request, self._names)
            kind = introspection.query_kind(tensors, *self._asks)
            if required_weights.INPUT in tensors:
                required_weights.check(tensors, self._service.digest(tensors))
                del tensors[required_weights.INPUT]  # the answer does not depend on it
            if kind is None:
                return response(self._answered(tensors))
            if kind == "probe":
                self._service.probe()
            elif kind in self._asks:
                self._asks[kind](tensors)
            return response(introspection.answer(self._facts(), tensors))
        except Refusal as refusal:
            return refused(refusal)
        except Exception as fault:  # must not end the process, which serves other callers too
            pb.Logger.log_error(traceback.format_exc())
            return refused(refusal_for(fault))

    def _answered(self, tensors: Tensors) -> Tensors:
        if self._cache is None or (self._cache_only and self._cache_only.isdisjoint(tensors)):
            return self._service.answer(tensors)
        key = _key(tensors)
        found = self._cache.get(key)
        if found is None:
            found = self._service.answer(tensors)
            self._cache.put(key, found)
        return found

    def _facts(self) -> dict[str, Any]:
        facts = self._service.facts()
        return facts if self._cache is None else {**facts, "kept": self._cache.facts()}


def _key(tensors: Tensors) -> bytes:
    """A digest of every input's name, type, shape and bytes."""
    digest = hashlib.sha256()
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name}|{tensor.dtype}|{tuple(tensor.shape)}|".encode())
        digest.update(tensor.contiguous().numpy().data)
    return digest.digest()


def _size(answer: Tensors) -> int:
    return sum(tensor.numel() * tensor.element_size() for tensor in answer.values())

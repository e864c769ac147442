"""The door to a model that answers one question at a time: Triton hands requests over, answers go back."""

from __future__ import annotations

import traceback
from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import torch
import triton_python_backend_utils as pb

from services.refusal import Refusal
from services.runtime import housekeeping
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

    def __init__(self, service: Service) -> None:
        self._service = service
        self._names = (*service.inputs, *housekeeping.INPUTS)
        service.probe()  # the first pass is slow, and a model that cannot do it must not be ready

    def answer(self, requests: Sequence[Any]) -> list[Any]:
        """One response for each of Triton's requests."""
        return [self._answer(request) for request in requests]

    def _answer(self, request: Any) -> Any:
        if request.is_cancelled():
            return refused(Refusal("CANCELLED", "the caller has gone"))
        try:
            tensors = received(request, self._names)
            asked = housekeeping.question(tensors)
            if asked is None:
                return response(self._service.answer(tensors))
            if asked == "probe":
                self._service.probe()
            return response(housekeeping.answer(self._service.facts(), tensors))
        except Refusal as refusal:
            return refused(refusal)
        except torch.OutOfMemoryError:
            pb.Logger.log_error(traceback.format_exc())
            return refused(Refusal("BUSY", "not enough memory for this now; try again, or send less at once"))
        except Exception:  # a fault of ours must not end the process that serves everybody else
            pb.Logger.log_error(traceback.format_exc())
            return refused(Refusal("INTERNAL", "the model failed at this; its log says why"))

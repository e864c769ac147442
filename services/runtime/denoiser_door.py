"""The door to a denoiser: requests come in, beats and latents go out, step by step."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import Any, Protocol

import torch
import triton_python_backend_utils as pb
from torch import Tensor

from services.denoising.engine import Engine
from services.denoising.family import Request
from services.refusal import Refusal
from services.runtime import housekeeping, orphan
from services.runtime.tensors import Tensors, received, refused, response


class Denoiser(Protocol):
    """What a family offers at the door."""

    inputs: Sequence[str]

    def request(self, tensors: Tensors) -> Request:
        """Checks a request's tensors and says what they ask for; raises Refusal."""

    def probe(self) -> Request:
        """The smallest request there is."""

    def facts(self) -> dict:
        """What is loaded."""


class DenoiserDoor:
    """Hands Triton's requests to the step loop, and the loop's answers back.

    `execute` returns at once: whoever is let in is answered from the loop's own thread.
    """

    def __init__(self, denoiser: Denoiser, engine: Engine) -> None:
        self._denoiser, self._engine = denoiser, engine
        self._names = (*denoiser.inputs, *housekeeping.INPUTS)
        orphan.end_with_the_server()
        engine.start()

    def admit(self, requests: Sequence[Any]) -> None:
        """Lets requests in or refuses them, each on its own."""
        for request in requests:
            sender = request.get_response_sender()
            try:
                self._admit(request, sender)
            except Refusal as refusal:
                sender.send(refused(refusal), flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL)

    def close(self) -> None:
        """Lets running trajectories finish."""
        self._engine.close()

    def _admit(self, request: Any, sender: Any) -> None:
        tensors = received(request, self._names)
        asked = housekeeping.question(tensors)
        if asked == "facts":
            sender.send(
                response(housekeeping.answer(self._denoiser.facts(), tensors)),
                flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL,
            )
        elif asked == "probe":
            told = housekeeping.answer(self._denoiser.facts(), tensors)
            self._engine.admit(self._denoiser.probe(), _Prober(sender, told), urgent=True)
        else:
            self._engine.admit(self._denoiser.request(tensors), _Caller(sender), _deadline(request))


class _Caller:
    """One stream of replies. A reply that cannot be delivered means that nobody is there any more."""

    def __init__(self, sender: Any) -> None:
        self._sender = sender
        self._lost = False

    def gone(self) -> bool:
        return self._lost or self._sender.is_cancelled()

    def beat(self, done: int, of: int, preview: Tensor | None) -> None:
        told = {"progress": _progress(done, of)}
        if preview is not None:
            told["latents"] = preview.float()
        self._send(response(told))

    def finish(self, latents: Tensor, steps: int) -> None:
        self._send(response({"progress": _progress(steps, steps), "latents": latents}), last=True)

    def refuse(self, refusal: Refusal) -> None:
        self._send(refused(refusal), last=True)

    def _send(self, reply: Any, *, last: bool = False) -> None:
        try:
            self._sender.send(reply, flags=pb.TRITONSERVER_RESPONSE_COMPLETE_FINAL if last else 0)
        except pb.TritonModelException as fault:
            self._lost = True
            pb.Logger.log_warn(f"a reply could not be delivered: {fault}")


class _Prober(_Caller):
    """Waits for the smallest request to come through, and then answers the probe."""

    def __init__(self, sender: Any, told: Tensors) -> None:
        super().__init__(sender)
        self._told = told

    def beat(self, done: int, of: int, preview: Tensor | None) -> None:
        """A probe is not told of its steps."""

    def finish(self, latents: Tensor, steps: int) -> None:
        self._send(response(self._told), last=True)


def _progress(done: int, of: int) -> Tensor:
    return torch.tensor([done, of], dtype=torch.int32)


def _deadline(request: Any) -> float:
    """When the request's own time limit is up, by the loop's clock; Triton itself bounds only queueing."""
    limit = request.timeout()
    return time.monotonic() + limit / 1e6 if limit else float("inf")

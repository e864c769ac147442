"""Serves a denoiser in Triton's decoupled mode: one request in, a reply for each step out."""

from __future__ import annotations

import time
import traceback
from collections.abc import Mapping, Sequence
from typing import Any

import torch
import triton_python_backend_utils as pb
from torch import Tensor

from services import json_text
from services.adapters.loader import AdapterLoader
from services.denoising.denoiser_family import DenoiserFamily
from services.denoising.engine import Engine
from services.refusal import Refusal, invalid, refusal_for
from services.runtime import introspection, required_weights, watchdog
from services.runtime.reply_queue import ReplyQueue, ReplyStream
from services.runtime.tensors import Tensors, received, refused, response


class StreamServer:
    """Passes Triton's requests to the step loop, and the loop's replies back.

    `execute` does not wait for steps, and the step loop does not wait for replies to be sent.
    """

    def __init__(self, denoiser: DenoiserFamily, engine: Engine) -> None:
        self._denoiser, self._engine = denoiser, engine
        self._replies = ReplyQueue()
        self._loader = AdapterLoader(denoiser.adapter, engine.adapters, denoiser.passes.clear)
        self._names = (*denoiser.inputs, required_weights.INPUT, *introspection.INPUTS)
        self._typical = denoiser.typical()
        self._began = time.monotonic()
        watchdog.start()
        engine.start()

    def admit(self, requests: Sequence[Any]) -> None:
        """Admits requests or refuses them, each on its own."""
        for request in requests:
            caller = _Caller(self._replies.open(request.get_response_sender()))
            try:
                self._admit(request, caller)
            except Refusal as refusal:
                caller.refuse(refusal)
            except Exception as fault:  # must not end the process that serves all requests
                pb.Logger.log_error(traceback.format_exc())
                caller.refuse(refusal_for(fault))

    def close(self) -> None:
        """Finishes what was admitted, sends its replies, and ends."""
        self._loader.close()
        self._engine.close()
        self._replies.close()

    def _admit(self, request: Any, caller: _Caller) -> None:
        tensors = received(request, self._names)
        kind = introspection.query_kind(tensors, "adapter", "cost")
        if required_weights.INPUT in tensors:
            required_weights.check(tensors, self._denoiser.facts()["weights"])
        if kind is None:
            self._engine.admit(self._denoiser.request(tensors), caller, _deadline(request))
            return
        if kind == "adapter":
            if "adapter" not in tensors:
                raise invalid("adapter", 'must come with ask = "adapter": the bytes of a safetensors file')
            self._loader.submit(tensors["adapter"], caller)
            return
        if kind == "cost":
            caller.answer(introspection.answer(self._denoiser.cost(tensors, self._engine.costs), tensors))
            return
        reply = introspection.answer(self._facts(), tensors)
        if kind == "facts":
            caller.answer(reply)
        else:
            self._engine.admit(self._denoiser.probe(), _Probe(caller, reply), urgent=True)

    def _facts(self) -> dict[str, Any]:
        capacity = self._engine.capacity(self._typical, self._denoiser.works())
        # Streams that are older than this process began in another one, which has ended.
        uptime = time.monotonic() - self._began
        return {**self._denoiser.facts(), **self._engine.facts(), "capacity": capacity, "uptime": uptime}


class _Caller:
    """The subscriber that reports to a stream of replies."""

    def __init__(self, stream: ReplyStream) -> None:
        self._stream = stream

    def gone(self) -> bool:
        return self._stream.gone

    def progress(self, done: int, of: int, preview: Tensor | None, checkpoint: Tensor | None) -> None:
        outputs = {"progress": _progress(done, of)}
        if preview is not None:
            outputs["latents"] = preview.to("cpu", torch.float32, copy=True)  # the loop goes on with its own
        if checkpoint is not None:
            outputs["checkpoint"] = checkpoint
        self._stream.put(response(outputs), progress=preview is None and checkpoint is None)

    def finish(self, latents: Tensor, steps: int) -> None:
        self.answer({"progress": _progress(steps, steps), "latents": latents})

    def report(self, facts: Mapping[str, Any]) -> None:
        self.answer({"facts": json_text.to_tensor(dict(facts))})

    def answer(self, outputs: Tensors) -> None:
        """The last reply."""
        self._stream.put(response(outputs), last=True)

    def refuse(self, refusal: Refusal) -> None:
        self._stream.put(refused(refusal), last=True)


class _Probe:
    """Answers a probe when the smallest request has finished."""

    def __init__(self, caller: _Caller, reply: Tensors) -> None:
        self._caller, self._reply = caller, reply

    def gone(self) -> bool:
        return self._caller.gone()

    def progress(self, done: int, of: int, preview: Tensor | None, checkpoint: Tensor | None) -> None:
        """The steps of a probe are not reported."""

    def finish(self, latents: Tensor, steps: int) -> None:
        self._caller.answer(self._reply)

    def refuse(self, refusal: Refusal) -> None:
        self._caller.refuse(refusal)


def _progress(done: int, of: int) -> Tensor:
    return torch.tensor([done, of], dtype=torch.int32)


def _deadline(request: Any) -> float:
    """The end of the request's time limit by the loop's clock; Triton itself limits only queueing."""
    limit = request.timeout()
    return time.monotonic() + limit / 1e6 if limit else float("inf")

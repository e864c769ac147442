"""A KServe server that answers probes as it is told to, rightly or wrongly."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field

import grpc
import numpy as np
from tritonclient.grpc import model_config_pb2, service_pb2, service_pb2_grpc


@dataclass
class Scripted(service_pb2_grpc.GRPCInferenceServiceServicer):
    """One model. `spoil` is what happens to numbers on their way through it."""

    decoupled: bool = False
    spoil: Callable[[np.ndarray], np.ndarray] = lambda numbers: numbers
    outputs: tuple[str, ...] = ("known", "facts")
    refusal: str = ""
    silent: bool = False
    server_silent: bool = False
    facts: str = '{"weights": "some"}'
    asked: int = 0
    answered: int = 0  # as its statistics tell; one more each time they are read if it `answers_others`
    answers_others: bool = False
    # What the server was asked to do with it; loading mends it unless it is beyond that.
    changes: list[str] = field(default_factory=list)
    beyond_repair: bool = False
    # What its owner alone may ask for takes this key, if it has one.
    key: str = ""

    def ServerLive(self, request, context):
        while self.server_silent and context.is_active():
            time.sleep(0.01)
        return service_pb2.ServerLiveResponse(live=True)

    def ServerReady(self, request, context):
        return service_pb2.ServerReadyResponse(ready=True)

    def ModelReady(self, request, context):
        return service_pb2.ModelReadyResponse(ready=True)

    def _check_key(self, context):
        sent = dict(context.invocation_metadata()).get("triton-grpc-protocol-intarsia-key")
        if self.key and sent != self.key:
            context.abort(grpc.StatusCode.UNAVAILABLE, "This protocol is restricted")

    def ModelConfig(self, request, context):
        self._check_key(context)
        config = model_config_pb2.ModelConfig(name=request.name)
        config.model_transaction_policy.decoupled = self.decoupled
        return service_pb2.ModelConfigResponse(config=config)

    def ModelStatistics(self, request, context):
        self._check_key(context)
        self.answered += self.answers_others
        told = service_pb2.ModelStatisticsResponse()
        told.model_stats.add(name=request.name).inference_stats.success.count = self.answered
        return told

    def RepositoryModelUnload(self, request, context):
        self._check_key(context)
        self.changes.append("unload")
        return service_pb2.RepositoryModelUnloadResponse()

    def RepositoryModelLoad(self, request, context):
        self._check_key(context)
        self.changes.append("load")
        if not self.beyond_repair:
            self.refusal, self.silent = "", False
        return service_pb2.RepositoryModelLoadResponse()

    def ModelInfer(self, request, context):
        if self.silent:
            while context.is_active():
                time.sleep(0.01)
        if self.refusal:
            context.abort(grpc.StatusCode.INTERNAL, self.refusal)
        return self._answer(request)

    def ModelStreamInfer(self, requests, context):
        for request in requests:
            if self.silent and b'"probe"' in request.raw_input_contents:
                continue
            if self.refusal:
                yield service_pb2.ModelStreamInferResponse(error_message=self.refusal)
            else:
                yield service_pb2.ModelStreamInferResponse(infer_response=self._answer(request))

    def _answer(self, request: service_pb2.ModelInferRequest) -> service_pb2.ModelInferResponse:
        self.asked += 1
        sent = {told.name: raw for told, raw in zip(request.inputs, request.raw_input_contents, strict=True)}
        known = self.spoil(np.frombuffer(sent.get("known", b""), np.float32))
        facts = np.frombuffer(self.facts.encode(), np.uint8)
        response = service_pb2.ModelInferResponse(model_name=request.model_name)
        for name, wire_type, value in (("known", "FP32", known), ("facts", "UINT8", facts)):
            if name in self.outputs:
                response.outputs.add(name=name, datatype=wire_type, shape=value.shape)
                response.raw_output_contents.append(value.tobytes())
        return response


@contextmanager
def serving(model: Scripted) -> Iterator[str]:
    """The address at which it answers."""
    server = grpc.server(ThreadPoolExecutor(16))
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(model, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield f"127.0.0.1:{port}"
    server.stop(None).wait()

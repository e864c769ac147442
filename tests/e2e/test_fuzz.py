"""Whatever arrives, nothing crashes: malformed tensors to every model, malformed messages to every rpc."""

from __future__ import annotations

import json
import random
import threading

import grpc
import numpy as np
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from deploy.local.models import repository_models
from intarsia.v1 import adapters_pb2, artifacts_pb2, editing_pb2, jobs_pb2, segmentation_pb2
from tests.e2e.triton import TritonClient

MODELS = tuple(model.name for model in repository_models())

CASES_PER_MODEL = 200
CASES_PER_METHOD = 40
METHODS = {
    f"/{service.full_name}/{method.name}": "_".join(
        "stream" if many else "unary" for many in (method.client_streaming, method.server_streaming)
    )
    for file in (adapters_pb2, artifacts_pb2, editing_pb2, jobs_pb2, segmentation_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
}
# The reasons that a client may get. INTERNAL and UNKNOWN would be errors of the server.
SAYABLE = {
    grpc.StatusCode.INVALID_ARGUMENT,
    grpc.StatusCode.NOT_FOUND,
    grpc.StatusCode.UNIMPLEMENTED,
    grpc.StatusCode.UNAVAILABLE,
    grpc.StatusCode.FAILED_PRECONDITION,
    grpc.StatusCode.RESOURCE_EXHAUSTED,
}
WORDS = (
    b'"ip2p"', b'"facts"', b'"probe"', b'"adapter"', b'[{"key": "%s"}]' % (b"a" * 64), b'"a circle"', b'""',
    b"{}", b"[[[[", b"17", b'"\\ud800"', b"\0\xff",
)  # fmt: skip
# Beside these nothing else would be looked at often.
RARE = ("ask", "known", "adapters", "adapter", "cost", "checkpoint")
NUMPY = {"FP32": np.float32, "UINT8": np.uint8, "INT32": np.int32, "UINT64": np.uint64, "BOOL": np.bool_}


@pytest.mark.parametrize("model", MODELS)
def test_malformed_tensors_get_an_error_and_crash_nothing(stack, models: TritonClient, model):
    repairs = stack.servers[0].supervisor.repairs
    config = models.client.get_model_config(model).config
    rng = random.Random(model)
    with grpc.insecure_channel(stack.triton.url) as channel:
        triton = service_pb2_grpc.GRPCInferenceServiceStub(channel)
        for _ in range(CASES_PER_MODEL):
            request = malformed(rng, model, config)
            try:
                if config.model_transaction_policy.decoupled:
                    first_reply(triton, request)
                else:
                    triton.ModelInfer(request, timeout=60)
            except grpc.RpcError as refused:
                assert refused.code() in SAYABLE, f"{refused.details()}\n{request}"
    assert models.facts(model)
    assert stack.servers[0].supervisor.repairs == repairs


@pytest.mark.parametrize("method", METHODS)
def test_malformed_messages_get_an_error_and_crash_nothing(stack, method):
    rng = random.Random(method)
    with grpc.insecure_channel(stack.address) as channel:
        call = getattr(channel, METHODS[method])(method)
        for _ in range(CASES_PER_METHOD):
            body = message(rng)
            try:
                if METHODS[method] == "stream_unary":
                    call(iter([body, message(rng)]), timeout=60)
                elif METHODS[method] == "unary_stream":
                    list(call(body, timeout=60))
                else:
                    call(body, timeout=60)
            except grpc.RpcError as refused:
                assert refused.code() in SAYABLE, f"{refused.code()}: {refused.details()}"
        health = health_pb2_grpc.HealthStub(channel).Check(health_pb2.HealthCheckRequest(), timeout=10)
    assert health.status == health_pb2.HealthCheckResponse.SERVING


def first_reply(triton: service_pb2_grpc.GRPCInferenceServiceStub, request) -> None:
    """Asks a decoupled model and hangs up: in the middle of its answers, or after the only one."""
    asked = threading.Event()

    def questions():
        yield request
        asked.wait(60)

    stream = triton.ModelStreamInfer(questions(), timeout=60)
    reply = next(stream)
    if reply.error_message or reply.infer_response.parameters["triton_final_response"].bool_param:
        asked.set()
        assert not list(stream)
        assert reply.error_message.split(": ")[0] not in ("INTERNAL", "UNKNOWN"), reply.error_message
    else:
        stream.cancel()
        asked.set()


def malformed(rng: random.Random, model: str, config) -> service_pb2.ModelInferRequest:
    """A request with inputs left out, misshapen, lied about, or full of nonsense."""
    request = service_pb2.ModelInferRequest(model_name=model)
    for declared in config.input:
        if rng.random() < (0.75 if declared.name in RARE else 0.25):
            continue
        wire_type = type_name(declared.data_type)
        shape = [size if size > 0 else rng.choice([1, 2, 3, 8, 16]) for size in declared.dims]
        if config.max_batch_size:
            shape = [1, *shape]
        if rng.random() < 0.35:
            shape = misshapen(rng, shape)
        told, body = list(shape), contents(rng, wire_type, shape)
        lie = rng.random()
        if lie < 0.08:
            told = [rng.choice([-1, 0, 2**31, 2**40, size]) for size in shape]
        elif lie < 0.16:
            body = body[: len(body) // 2]
        elif lie < 0.22:
            wire_type = rng.choice([*NUMPY, "BYTES", "FP64", "NONSENSE"])
        request.inputs.add(name=declared.name, datatype=wire_type, shape=told)
        request.raw_input_contents.append(body)
    if rng.random() < 0.05:
        request.inputs.add(name="unheard_of", datatype="FP32", shape=[1])
        request.raw_input_contents.append(b"\0\0\0\0")
    return request


def misshapen(rng: random.Random, shape: list[int]) -> list[int]:
    """A rank or a size that was not asked for."""
    way = rng.randrange(4)
    if way == 0:
        return shape[:-1]
    if way == 1:
        return [*shape, 2]
    if way == 2:
        return [rng.choice([0, 1, 5, size]) for size in shape]
    long = rng.randrange(len(shape))
    return [700 if place == long else size for place, size in enumerate(shape)]


def contents(rng: random.Random, wire_type: str, shape: list[int]) -> bytes:
    """Values of the right length: words, numbers, and what is no number."""
    count = int(np.prod(shape))
    if wire_type == "UINT8" and rng.random() < 0.8:
        return rng.choice(WORDS).ljust(count, b" ")[:count]
    if wire_type != "FP32":
        return rng.randbytes(count * np.dtype(NUMPY[wire_type]).itemsize)
    values = np.random.default_rng(rng.randrange(2**32)).normal(size=count).astype(np.float32)
    values *= np.float32(rng.choice([1, 1e3, 1e30]))
    if count and rng.random() < 0.2:
        values[rng.randrange(count)] = rng.choice([np.nan, np.inf, -np.inf])
    return values.tobytes()


def type_name(number: int) -> str:
    from tritonclient.grpc import model_config_pb2

    return model_config_pb2.DataType.Name(number).removeprefix("TYPE_")


def message(rng: random.Random) -> bytes:
    """Random protobuf: sometimes noise, sometimes well-formed fields with absurd contents."""
    if rng.random() < 0.3:
        return rng.randbytes(rng.randrange(60))
    body = b""
    for _ in range(rng.randrange(6)):
        field, kind = rng.randrange(1, 12), rng.choice([0, 1, 2, 5])
        body += bytes([field << 3 | kind])
        if kind == 0:
            body += bytes([rng.randrange(128)])
        elif kind == 1:
            body += rng.randbytes(8)
        elif kind == 5:
            body += rng.randbytes(4)
        else:
            inner = rng.choice(
                [
                    b"",
                    b"artifacts/" + b"0" * 64,
                    b"jobs/1",
                    b"x" * 100,
                    json.dumps({}).encode(),
                    rng.randbytes(9),
                ]
            )
            body += bytes([len(inner)]) + inner
    return body

"""Is a model alive, through and through? Asks it to do a small piece of real work.

    python -m deploy.local.probe 127.0.0.1:8001 ip2p_unet

Triton calls a model ready even when the process behind it is dead or stuck; only an answer tells. The
same check keeps the one-machine stack going and serves as a liveness probe in Kubernetes.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Sequence

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferenceServerException, InferInput, InferResult

from deploy.local.loopback import triton_client

# Values that would not survive a crossing that mixes up bytes, strides or types.
KNOWN = np.array([0.0, -1.0, 3.14159274, 1e-30, 6.55e4, *range(64)], np.float32)


class NotAlive(Exception):
    """The model did not answer, or not what it should."""


class Corrupted(NotAlive):
    """Numbers changed on the way through the model."""


def probe(client: InferenceServerClient, model: str, *, seconds: float) -> dict:
    """The model's facts, after it proved that it works; raises NotAlive."""
    try:
        config = client.get_model_config(model, as_json=False, client_timeout=seconds).config
        sent = np.concatenate([KNOWN, np.random.default_rng().random(4, np.float32)])
        inputs = _question(sent, batched=config.max_batch_size > 0)
        ask = _stream if config.model_transaction_policy.decoupled else _unary
        result = ask(client, model, inputs, seconds)
        known, facts = result.as_numpy("known"), result.as_numpy("facts")
    except InferenceServerException as fault:
        raise NotAlive(f"{model}: {fault.message()}") from fault
    except ValueError as fault:
        raise NotAlive(f"{model}: the answer to the probe cannot be read: {fault}") from fault
    if known is None or facts is None:
        raise NotAlive(f"{model}: the answer to the probe is incomplete")
    if not np.array_equal(known.reshape(-1), sent):
        raise Corrupted(f"{model}: numbers changed on their way through the model; is its NumPy below 2?")
    try:
        return dict(json.loads(facts.tobytes().decode()))
    except (ValueError, TypeError) as fault:
        raise NotAlive(f"{model}: its facts are no JSON object: {fault}") from fault


def _question(known: np.ndarray, *, batched: bool) -> list[InferInput]:
    """New numbers each time, so that nothing that remembers answers can pass for a living model."""
    told = {"ask": np.frombuffer(b'"probe"', np.uint8), "known": known}
    inputs = []
    for name, value in told.items():
        value = value[None] if batched else value
        tensor = InferInput(name, list(value.shape), "UINT8" if value.dtype == np.uint8 else "FP32")
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


def _unary(client: InferenceServerClient, model: str, inputs: list, seconds: float) -> InferResult:
    return client.infer(model, inputs, client_timeout=seconds)


def _stream(client: InferenceServerClient, model: str, inputs: list, seconds: float) -> InferResult:
    """A decoupled model answers on a stream; the first reply is the whole answer to a probe."""
    replies: queue.Queue[InferResult | InferenceServerException] = queue.Queue()
    client.start_stream(lambda result, error: replies.put(error or result), stream_timeout=seconds)
    answered = False
    try:
        client.async_stream_infer(model, inputs)
        reply = replies.get(timeout=seconds)
        answered = True
    except queue.Empty as silence:
        raise NotAlive(f"{model}: no answer within {seconds:.0f} s") from silence
    finally:
        # A stream whose last reply is here must be closed, not cancelled: this Triton may die of that.
        client.stop_stream(cancel_requests=not answered)
    if isinstance(reply, InferenceServerException):
        raise reply
    return reply


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if every named model is alive."""
    parser = argparse.ArgumentParser(description="Asks models to prove that they work.")
    parser.add_argument("url", help="Triton's gRPC address, host:port")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seconds", type=float, default=20.0, help="how long to wait for each")
    options = parser.parse_args(argv)
    alive = True
    with triton_client(options.url) as client:
        for model in options.models:
            try:
                print(f"{model}: {json.dumps(probe(client, model, seconds=options.seconds))}")
            except NotAlive as fault:
                alive = False
                print(fault, file=sys.stderr)
    return 0 if alive else 1


if __name__ == "__main__":
    raise SystemExit(main())

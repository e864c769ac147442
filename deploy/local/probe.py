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

import grpc
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferenceServerException, InferInput, InferResult

from deploy.local.loopback import triton_client

# Values that would not survive a crossing that mixes up bytes, strides or types.
KNOWN = np.array([0.0, -1.0, 3.14159274, 1e-30, 6.55e4, *range(64)], np.float32)


# Seconds, and times what is expected, that a step must last at least to count as stuck.
SHORTEST_STUCK, STUCK_FACTOR = 60.0, 10.0


class NotAlive(Exception):
    """The model did not answer, or not what it should."""


class Corrupted(NotAlive):
    """Numbers changed on the way through the model."""


class Silent(NotAlive):
    """A model that works step by step did not answer in time."""


def probe(client: InferenceServerClient, model: str, *, seconds: float) -> dict:
    """The model's facts, after it proved that it works; raises NotAlive."""
    # New numbers each time, so that nothing that remembers answers can pass for a living model.
    sent = np.concatenate([KNOWN, np.random.default_rng().random(4, np.float32)])
    asked = {"ask": np.frombuffer(b'"probe"', np.uint8), "known": sent}
    known, facts = _answer(client, model, asked, ("known", "facts"), seconds)
    if not np.array_equal(known.reshape(-1), sent):
        raise Corrupted(f"{model}: numbers changed on their way through the model; is its NumPy below 2?")
    return _read(model, facts)


def in_a_long_step(client: InferenceServerClient, model: str, *, seconds: float) -> bool:
    """Whether a model whose probe was not answered in time is busy with a step that may take so long.

    Its facts are told outside the loop whose next step a probe waits for. A loop that is silent although
    it has nothing to do is no excuse, nor is a step that lasts far longer than such a step should.
    """
    try:
        asked = {"ask": np.frombuffer(b'"facts"', np.uint8)}
        (facts,) = _answer(client, model, asked, ("facts",), seconds)
        step = _read(model, facts)["step"]
        return 0 < step["running_for"] <= max(SHORTEST_STUCK, STUCK_FACTOR * step["expected"])
    except (NotAlive, KeyError, TypeError):
        return False


def _answer(
    client: InferenceServerClient, model: str, asked: dict, outputs: Sequence[str], seconds: float
) -> list[np.ndarray]:
    decoupled = False
    try:
        config = client.get_model_config(model, as_json=False, client_timeout=seconds).config
        inputs = _question(asked, batched=config.max_batch_size > 0)
        decoupled = config.model_transaction_policy.decoupled
        ask = _stream if decoupled else _unary
        result = ask(client, model, inputs, seconds)
        told = [result.as_numpy(name) for name in outputs]
    except InferenceServerException as fault:
        late = decoupled and fault.status() == str(grpc.StatusCode.DEADLINE_EXCEEDED)
        raise (Silent if late else NotAlive)(f"{model}: {fault.message()}") from fault
    except ValueError as fault:
        raise NotAlive(f"{model}: the answer cannot be read: {fault}") from fault
    if any(value is None for value in told):
        raise NotAlive(f"{model}: the answer is incomplete")
    return told


def _read(model: str, facts: np.ndarray) -> dict:
    try:
        return dict(json.loads(facts.tobytes().decode()))
    except (ValueError, TypeError) as fault:
        raise NotAlive(f"{model}: its facts are no JSON object: {fault}") from fault


def _question(asked: dict[str, np.ndarray], *, batched: bool) -> list[InferInput]:
    inputs = []
    for name, value in asked.items():
        value = value[None] if batched else value
        tensor = InferInput(name, list(value.shape), "UINT8" if value.dtype == np.uint8 else "FP32")
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


def _unary(client: InferenceServerClient, model: str, inputs: list, seconds: float) -> InferResult:
    return client.infer(model, inputs, client_timeout=seconds)


def _stream(client: InferenceServerClient, model: str, inputs: list, seconds: float) -> InferResult:
    """A decoupled model answers on a stream; the first reply is the whole answer to such a question."""
    replies: queue.Queue[InferResult | InferenceServerException] = queue.Queue()
    client.start_stream(lambda result, error: replies.put(error or result), stream_timeout=seconds)
    answered = False
    try:
        client.async_stream_infer(model, inputs)
        reply = replies.get(timeout=seconds)
        answered = True
    except queue.Empty as silence:
        raise Silent(f"{model}: no answer within {seconds:.0f} s") from silence
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
                if isinstance(fault, Silent) and in_a_long_step(client, model, seconds=options.seconds):
                    print(f"{model}: in a long step")
                    continue
                alive = False
                print(fault, file=sys.stderr)
    return 0 if alive else 1


if __name__ == "__main__":
    raise SystemExit(main())

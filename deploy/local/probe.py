"""Probes a model: has it do a small piece of real work.

    python -m deploy.local.probe 127.0.0.1:8001 ip2p_unet --key-file DATA/triton/key

Triton reports a model as ready even if its process is dead or stuck; only a reply shows that it works. The
supervisor of the one-machine stack uses the same check, and so can a liveness probe in Kubernetes.
"""

from __future__ import annotations

import argparse
import json
import queue
import sys
from collections.abc import Sequence
from pathlib import Path

import grpc
import numpy as np
from tritonclient.grpc import InferenceServerClient, InferenceServerException, InferInput, InferResult

from deploy.local.loopback import triton_client

# Values that change if bytes, strides or types are mixed up on the way.
KNOWN = np.array([0.0, -1.0, 3.14159274, 1e-30, 6.55e4, *range(64)], np.float32)


# A step counts as stuck only after so many seconds, and so many times its expected duration.
SHORTEST_STUCK, STUCK_FACTOR = 60.0, 10.0


class ProbeError(Exception):
    """The model did not reply, or its reply was wrong."""


class TensorsCorrupted(ProbeError):
    """Numbers changed on the way through the model."""


class ProbeTimeout(ProbeError):
    """A decoupled model did not reply in time."""


def probe(client: InferenceServerClient, model: str, *, seconds: float) -> dict:
    """Probes the model and returns its facts; raises ProbeError if it does not work."""
    # New numbers each time, so that no cache can answer for a dead model.
    numbers = np.concatenate([KNOWN, np.random.default_rng().random(4, np.float32)])
    query = {"ask": np.frombuffer(b'"probe"', np.uint8), "known": numbers}
    known, facts = _infer(client, model, query, ("known", "facts"), seconds)
    if not np.array_equal(known.reshape(-1), numbers):
        raise TensorsCorrupted(
            f"{model}: numbers changed on their way through the model; is its NumPy below 2?"
        )
    return _read(model, facts)


def in_a_long_step(client: InferenceServerClient, model: str, *, seconds: float) -> bool:
    """True if a model whose probe timed out is busy with a step that may take so long.

    Its facts do not wait for the step loop, as a probe does. False for an idle loop, and for a step that
    takes far longer than expected.
    """
    try:
        query = {"ask": np.frombuffer(b'"facts"', np.uint8)}
        (facts,) = _infer(client, model, query, ("facts",), seconds)
        step = _read(model, facts)["step"]
        return 0 < step["running_for"] <= max(SHORTEST_STUCK, STUCK_FACTOR * step["expected"])
    except (ProbeError, KeyError, TypeError):
        return False


def _infer(
    client: InferenceServerClient, model: str, query: dict, outputs: Sequence[str], seconds: float
) -> list[np.ndarray]:
    decoupled = False
    try:
        config = client.get_model_config(model, as_json=False, client_timeout=seconds).config
        inputs = _inputs(query, batched=config.max_batch_size > 0)
        decoupled = config.model_transaction_policy.decoupled
        call = _stream if decoupled else _unary
        result = call(client, model, inputs, seconds)
        values = [result.as_numpy(name) for name in outputs]
    except InferenceServerException as error:
        late = decoupled and error.status() == str(grpc.StatusCode.DEADLINE_EXCEEDED)
        raise (ProbeTimeout if late else ProbeError)(f"{model}: {error.message()}") from error
    except ValueError as error:
        raise ProbeError(f"{model}: the reply cannot be read: {error}") from error
    if any(value is None for value in values):
        raise ProbeError(f"{model}: the reply is incomplete")
    return values


def _read(model: str, facts: np.ndarray) -> dict:
    try:
        return dict(json.loads(facts.tobytes().decode()))
    except (ValueError, TypeError) as fault:
        raise ProbeError(f"{model}: its facts are not a JSON object: {fault}") from fault


def _inputs(query: dict[str, np.ndarray], *, batched: bool) -> list[InferInput]:
    inputs = []
    for name, value in query.items():
        value = value[None] if batched else value
        tensor = InferInput(name, list(value.shape), "UINT8" if value.dtype == np.uint8 else "FP32")
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


def _unary(client: InferenceServerClient, model: str, inputs: list, seconds: float) -> InferResult:
    return client.infer(model, inputs, client_timeout=seconds)


def _stream(client: InferenceServerClient, model: str, inputs: list, seconds: float) -> InferResult:
    """Calls a decoupled model by a stream; the first reply to such a query is the only one."""
    replies: queue.Queue[InferResult | InferenceServerException] = queue.Queue()
    client.start_stream(lambda result, error: replies.put(error or result), stream_timeout=seconds)
    answered = False
    try:
        client.async_stream_infer(model, inputs)
        reply = replies.get(timeout=seconds)
        answered = True
    except queue.Empty as timeout:
        raise ProbeTimeout(f"{model}: no reply within {seconds:.0f} s") from timeout
    finally:
        # After the last reply a stream must be closed, not cancelled: a cancel may crash this Triton.
        client.stop_stream(cancel_requests=not answered)
    if isinstance(reply, InferenceServerException):
        raise reply
    return reply


def _key_in(file: Path | None) -> str:
    try:
        return "" if file is None else file.read_text(encoding="utf-8").strip()
    except OSError as fault:
        raise SystemExit(f"--key-file {file}: {fault.strerror}") from None


def main(argv: Sequence[str] | None = None) -> int:
    """Probes models; exit code 0 if every named model works."""
    parser = argparse.ArgumentParser(description="Probes models: has each do a small piece of real work.")
    parser.add_argument("url", help="Triton's gRPC address, host:port")
    parser.add_argument("models", nargs="+")
    parser.add_argument("--seconds", type=float, default=20.0, help="time limit for each model")
    parser.add_argument(
        "--key-file", type=Path, help="file with Triton's key; `intarsia up` writes DATA/triton/key"
    )
    options = parser.parse_args(argv)
    alive = True
    with triton_client(options.url, _key_in(options.key_file)) as client:
        for model in options.models:
            try:
                print(f"{model}: {json.dumps(probe(client, model, seconds=options.seconds))}")
            except ProbeError as fault:
                if isinstance(fault, ProbeTimeout) and in_a_long_step(client, model, seconds=options.seconds):
                    print(f"{model}: in a long step")
                    continue
                alive = False
                print(fault, file=sys.stderr)
    return 0 if alive else 1


if __name__ == "__main__":
    raise SystemExit(main())

"""An edit of latents by a plain Triton client, without code of the platform.

    python -m benchmarks.triton_client 127.0.0.1:8001 --side 16 --steps 1000

Prints a line for each progress message.
"""

from __future__ import annotations

import argparse
import json
import queue
from collections.abc import Iterator

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferenceServerException, InferInput, InferResult
from tritonclient.utils import np_to_triton_dtype

MODEL = "ip2p_unet"


def text(words: object) -> np.ndarray:
    """JSON as UINT8."""
    return np.frombuffer(json.dumps(words).encode(), np.uint8)


def edit_tensors(width: int, *, side: int, steps: int, seed: int) -> dict[str, np.ndarray]:
    """The tensors of a request with three rows per step; `width` is that of the text embeddings."""
    rng = np.random.default_rng((seed, 4))
    return {
        "source": rng.normal(size=(4, side, side)).astype(np.float32),
        "text": rng.normal(size=(16, width)).astype(np.float32),
        "no_text": rng.normal(size=(16, width)).astype(np.float32),
        "seed": np.array([seed], np.uint64),
        "steps": np.array([steps], np.int32),
        "guidance": np.array([7.5, 1.5], np.float32),
    }


class DenoiseStream:
    """One decoupled request and its replies."""

    def __init__(self, url: str, tensors: dict[str, np.ndarray]) -> None:
        self._replies: queue.Queue[InferResult | InferenceServerException] = queue.Queue()
        self._client = InferenceServerClient(url)
        self._client.start_stream(lambda result, error: self._replies.put(error or result))
        inputs = []
        for name, value in tensors.items():
            inputs.append(InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype)))
            inputs[-1].set_data_from_numpy(value)
        self._client.async_stream_infer(MODEL, inputs)

    def progress(self, seconds: float = 60.0) -> Iterator[tuple[int, int]]:
        """Yields steps done and steps in total, until the last."""
        while True:
            reply = self._replies.get(timeout=seconds)
            if isinstance(reply, InferenceServerException):
                raise reply
            done, of = (int(number) for number in reply.as_numpy("progress"))
            yield done, of
            if done == of:
                return

    def cancel(self) -> None:
        """Cancels the request."""
        self._client.stop_stream(cancel_requests=True)
        self._client.close()

    def close(self) -> None:
        """Closes the stream after its last reply."""
        self._client.stop_stream()
        self._client.close()


def text_width(url: str) -> int:
    """The width of the served bundle's text embeddings."""
    with InferenceServerClient(url) as client:
        inputs = []
        for name, words in (("family", "ip2p"), ("text", "")):
            value = text(words)
            inputs.append(InferInput(name, list(value.shape), "UINT8"))
            inputs[-1].set_data_from_numpy(value)
        return int(client.infer("text_encoder", inputs).as_numpy("embedding").shape[1])


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("url", help="Triton's gRPC address")
    parser.add_argument("--side", type=int, default=16, help="of the latents")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(argv)
    tensors = edit_tensors(text_width(options.url), side=options.side, steps=options.steps, seed=options.seed)
    for done, of in DenoiseStream(options.url, tensors).progress():
        print(f"{done}/{of}", flush=True)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""A plain Triton client; of the platform's code it only uses what sends the server's key."""

from __future__ import annotations

import json
import queue
import re
import urllib.request
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from tritonclient.grpc import InferenceServerClient, InferenceServerException, InferInput, InferResult
from tritonclient.utils import np_to_triton_dtype

from deploy.local.loopback import triton_client


def text(words: Any) -> np.ndarray:
    """JSON as UINT8."""
    return np.frombuffer(json.dumps(words).encode(), np.uint8)


def inputs_of(tensors: Mapping[str, np.ndarray]) -> list[InferInput]:
    """Arrays as Triton's inputs."""
    inputs = []
    for name, value in tensors.items():
        tensor = InferInput(name, list(value.shape), np_to_triton_dtype(value.dtype))
        tensor.set_data_from_numpy(value)
        inputs.append(tensor)
    return inputs


class Stream:
    """One decoupled request and what it is answered."""

    def __init__(self, url: str, model: str, tensors: Mapping[str, np.ndarray], timeout_us: int = 0) -> None:
        self._replies: queue.Queue[InferResult | InferenceServerException] = queue.Queue()
        self._over = False
        self._client = InferenceServerClient(url)
        self._client.start_stream(lambda result, error: self._replies.put(error or result))
        self._client.async_stream_infer(model, inputs_of(tensors), timeout=timeout_us or None)

    def reply(self, seconds: float = 30.0) -> InferResult:
        """The next reply; an error is raised."""
        found = self._replies.get(timeout=seconds)
        if isinstance(found, InferenceServerException):
            self._over = True
            raise found
        self._over = found.get_response().parameters["triton_final_response"].bool_param
        return found

    def __iter__(self) -> Iterator[InferResult]:
        """Replies until the last one."""
        while True:
            yield self.reply()
            if self._over:
                return

    def leave(self) -> None:
        """Cancels what is not answered yet; this Triton may die of a cancel after the last reply."""
        self._client.stop_stream(cancel_requests=not self._over)
        self._client.close()

    def __enter__(self) -> Stream:
        return self

    def __exit__(self, *_: object) -> None:
        self.leave()


class TritonClient:
    """Asks models for work."""

    def __init__(self, url: str, key: str = "") -> None:
        self.url = url
        self.client = triton_client(url, key)

    def ask(self, model: str, tensors: Mapping[str, np.ndarray]) -> InferResult:
        """One question, one answer."""
        return self.client.infer(model, inputs_of(tensors), client_timeout=60)

    def stream(self, model: str, tensors: Mapping[str, np.ndarray], timeout_us: int = 0) -> Stream:
        """One question, many answers."""
        return Stream(self.url, model, tensors, timeout_us)

    def facts(self, model: str) -> dict:
        """What the model says of itself."""
        if self.client.get_model_config(model, as_json=True)["config"].get("model_transaction_policy"):
            with self.stream(model, {"ask": text("facts")}) as stream:
                answer = stream.reply()
        else:
            answer = self.ask(model, {"ask": text("facts")})
        return json.loads(answer.as_numpy("facts").tobytes())

    def __enter__(self) -> TritonClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.client.close()


def figure(metrics_url: str, name: str, **labels: str) -> float:
    """A figure of Triton's metrics endpoint."""
    with urllib.request.urlopen(metrics_url, timeout=10) as page:
        body = page.read().decode()
    for line in body.splitlines():
        found = re.fullmatch(rf"{name}(?:\{{(.*)\}})? (\S+)", line)
        if found and all(f'{key}="{value}"' in (found[1] or "") for key, value in labels.items()):
            return float(found[2])
    raise AssertionError(f"no figure {name} {labels}")


def edit_tensors(width: int, *, side: int = 8, steps: int = 4, seed: int = 3, **more: np.ndarray) -> dict:
    """A request for the InstructPix2Pix UNet; `width` is that of its text embeddings."""
    rng = np.random.default_rng(seed)
    return {
        "source": rng.normal(size=(4, side, side)).astype(np.float32),
        "text": rng.normal(size=(6, width)).astype(np.float32),
        "no_text": rng.normal(size=(6, width)).astype(np.float32),
        "seed": np.array([seed], np.uint64),
        "steps": np.array([steps], np.int32),
        **more,
    }


def fill_tensors(width: int, *, side: int = 8, steps: int = 4, seed: int = 3, **more: np.ndarray) -> dict:
    """A request for the inpainting UNet, whose text embeddings are as wide."""
    rng = np.random.default_rng(seed)
    asked = edit_tensors(width, side=side, steps=steps, seed=seed)
    hole = rng.integers(0, 2, (1, side, side)).astype(np.float32)
    spread = rng.uniform(size=(4, side, side)).astype(np.float32)
    return {**asked, "hole": hole, "spread": spread, **more}

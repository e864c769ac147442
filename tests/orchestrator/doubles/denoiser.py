"""Denoisers of numpy, for edits and for fills. They can be held at any step."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import AsyncIterator
from typing import Any, ClassVar

import grpc
import numpy as np

from orchestrator.triton.tensors import Tensors, from_text, text
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.vae import FACTOR
from tests.orchestrator.doubles.weights import check_weights


class Denoiser:
    """Goes evenly from the source to its negative. Holds before any step that is not yet allowed."""

    guidance: ClassVar[dict[str, float]] = {"guidance": 7.5, "picture_guidance": 1.5}
    preparation: ClassVar[dict[str, int]] = {}

    def __init__(self) -> None:
        self.size, self.weights = 128, "d0" * 32
        self.sizes: list[int] = []
        self.hold_at: int | None = None  # before this step, counted from 0
        self.held, self.holding = asyncio.Event(), 0
        self.go_on = asyncio.Event()
        self.left = asyncio.Event()  # a request was cancelled while it was held
        self.refusals: list[Refused] = []  # answered first, one per request
        self.requests: list[Tensors] = []
        self.steps = 0  # taken in all
        self.seconds = 0.001  # of a network evaluation
        self.cost_questions: list[dict[str, Any]] = []
        self.adapters: dict[str, bytes] = {}  # by key; those that begin with `bad` fit nothing
        self.uploads: list[bytes] = []  # of adapters
        self.requests_before_uploads = 0  # an upload is answered after so many requests
        self.requested = asyncio.Condition()
        self.room = 1 << 20  # bytes of all adapters; those that came first leave for others
        self.capacity = {"full_pass": 4, "fit": 100, "running": 64, "waiting": 256}
        self.removal = 0.0
        self.effect = 2.0  # of an edit: the negative of the picture; 0 for none
        self.uptime = 1e6  # seconds for which its process has been there
        self.tells = asyncio.Event()  # facts are only sent while it is set
        self.tells.set()

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "adapter" in inputs:
            self.uploads.append(inputs["adapter"].tobytes())
            async with self.requested:
                await self.requested.wait_for(lambda: len(self.requests) >= self.requests_before_uploads)
            yield {"facts": text(self._fitted(self.uploads[-1]))}
            return
        if "cost" in inputs:
            self.cost_questions.append(from_text(inputs["cost"]))
            yield {"facts": text(self._cost(self.cost_questions[-1]))}
            return
        if "ask" in inputs:
            await self.tells.wait()
            facts = {"weights": self.weights, "factor": FACTOR, "size": self.size, "multiple": FACTOR}
            facts |= {"sizes": self.sizes, "removal": self.removal}
            facts |= {"adapters": {"budget_bytes": self.room}, "preparation": self.preparation}
            facts["path"] = "eager"
            facts |= {"capacity": self.capacity, "uptime": self.uptime}
            facts["licences"] = ["A Licence; https://example.org/terms"]
            facts["guidance"] = {name: {"default": value} for name, value in self.guidance.items()}
            defaults = {"steps": 20, "scheduler": "euler"}
            yield {"facts": text({**facts, "defaults": defaults, "schedulers": ["ddim", "euler"]})}
            return
        self.requests.append(inputs)
        async with self.requested:
            self.requested.notify_all()
        if self.refusals:
            raise self.refusals.pop(0)
        check_weights(inputs, self.weights)
        for worn in from_text(inputs["adapters"]) if "adapters" in inputs else ():
            if worn["key"] not in self.adapters:
                raise Refused("UNKNOWN_ADAPTER: send its file", grpc.StatusCode.NOT_FOUND)
        steps, every = int(inputs["steps"][0]), int(inputs["preview_every"][0])
        for step in range(steps):
            if step == self.hold_at:
                await self._hold()
            done = step + 1
            self.steps += 1
            beat: dict[str, np.ndarray] = {"progress": np.array([done, steps], np.int32)}
            if done == steps or (every and done % every == 0):
                beat["latents"] = self._latents(inputs, done, steps)
            yield beat

    def _latents(self, inputs: Tensors, done: int, steps: int) -> np.ndarray:
        return (inputs["source"] * (1 - self.effect * done / steps)).astype(np.float32)

    def _cost(self, question: dict[str, Any]) -> dict[str, Any]:
        """With equal prompts one evaluation less than there are numbers of guidance, and one."""
        evaluations = len(self.guidance) + (not question["equal_prompts"])
        steps = len(question["sheets"]) * question["steps"] * question["candidates"]
        return {"evaluations": evaluations, "seconds": evaluations * steps * self.seconds}

    def _fitted(self, data: bytes) -> dict[str, object]:
        if data.startswith(b"bad"):
            raise Refused("INVALID_FIELD: adapter fits no layer of this network")
        key = hashlib.sha256(data).hexdigest()
        self.adapters[key] = data
        while sum(map(len, self.adapters.values())) > self.room:
            del self.adapters[next(iter(self.adapters))]
        counts = {"rank": 4, "matched": 16, "unexpected_count": 1, "parameters": 1024}
        told = {"unexpected": ["te.key"], "weights": self.weights, "metadata": {"made": "by hand"}}
        return {"key": key, "kind": "lora", "layout": "peft", **counts, **told}

    async def _hold(self) -> None:
        self.holding += 1
        self.held.set()
        try:
            await self.go_on.wait()
        except asyncio.CancelledError:
            self.left.set()
            raise
        finally:
            self.holding -= 1


class Filler(Denoiser):
    """Goes evenly from what is around the hole to white in it."""

    guidance: ClassVar[dict[str, float]] = {"guidance": 7.5}
    preparation: ClassVar[dict[str, int]] = {"margin": 4}

    def __init__(self) -> None:
        super().__init__()
        self.weights = "f1" * 32

    def _latents(self, inputs: Tensors, done: int, steps: int) -> np.ndarray:
        return (inputs["source"] + inputs["hole"] * done / steps).astype(np.float32)

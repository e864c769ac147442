"""A text encoder of numpy."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator

import numpy as np

from orchestrator.triton.tensors import Tensors, from_text, text
from tests.orchestrator.doubles.weights import check_weights, families


class TextEncoder:
    """Numbers drawn from the words' digest; reads forty characters."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.weights = "7e" * 32
        self.unknown: set[str] = set()

    async def answer(self, inputs: Tensors) -> AsyncIterator[Tensors]:
        if "ask" in inputs:
            yield {"facts": text({"families": families(self.weights)})}
            return
        check_weights(inputs, self.weights)
        words = from_text(inputs["text"])
        self.asked.append(words)
        digest = hashlib.sha256(words[:40].encode()).digest()
        embedding = np.frombuffer(digest, np.uint8).reshape(8, 4).astype(np.float32) / 255
        unknown = [word for word in words.split() if word in self.unknown]
        yield {"embedding": embedding, "dropped": text(words[40:]), "unknown": text(unknown)}

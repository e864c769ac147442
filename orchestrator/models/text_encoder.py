"""Words to embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orchestrator.aio import gather_or_cancel
from orchestrator.models.client import ModelClient
from orchestrator.models.weights import WeightsRef
from orchestrator.runs.run import Run
from orchestrator.triton.tensors import from_text, text

FIELDS = {"text": "instruction"}

_MOST = 10  # words in a note


@dataclass(frozen=True)
class Embedding:
    """The embedding of a text: float32 (tokens, width), the words that did not fit, and those that are not
    known."""

    values: np.ndarray
    dropped: str
    unknown: tuple[str, ...] = ()

    def notes(self, name: str) -> list[str]:
        """Notes about words that did not fit or are not known; `name` is the field they came from."""
        notes = []
        if self.dropped:
            notes.append(f"the {name} was too long; its end was not read: “{self.dropped}”")
        if self.unknown:
            words = ", ".join(f"“{word}”" for word in self.unknown[:_MOST])
            notes.append(f"the text encoder does not know these words of the {name}: {words}")
        return notes


@dataclass(frozen=True)
class TextEncoder:
    """Encodes words. Bound to one run."""

    client: ModelClient
    run: Run

    async def encode(self, words: str, weights: WeightsRef) -> Embedding:
        """The embedding of some words, which may be none."""
        reply = await self.client.infer({"text": text(words)}, deadline=self.run.deadline, weights=weights)
        return Embedding(reply["embedding"], from_text(reply["dropped"]), tuple(from_text(reply["unknown"])))

    async def encode_each(self, texts: Iterable[str], weights: WeightsRef) -> list[Embedding]:
        """Embeddings in the order of the texts; equal texts are encoded once."""
        texts = list(texts)
        different = list(dict.fromkeys(texts))
        found = await gather_or_cancel(*(self.encode(words, weights) for words in different))
        return [found[different.index(words)] for words in texts]

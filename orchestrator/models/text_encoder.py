"""Words to embeddings."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np

from orchestrator.aio import gather_or_cancel
from orchestrator.models.families import FamilyModel
from orchestrator.triton.tensors import from_text, text

FIELDS = {"text": "instruction"}


@dataclass(frozen=True)
class Embedding:
    """The embedding of a text: float32 (tokens, width), and the words that did not fit."""

    values: np.ndarray
    dropped: str

    def notes(self, name: str) -> list[str]:
        """A note about the words that did not fit, if there are any; `name` is the field they came from."""
        if not self.dropped:
            return []
        return [f"the {name} was too long; its end was not read: “{self.dropped}”"]


@dataclass(frozen=True)
class TextEncoder(FamilyModel):
    """Encodes words. Bound to one run."""

    async def encode(self, words: str, *, family: str) -> Embedding:
        """The embedding of some words, which may be none."""
        reply = await self._infer(family, {"text": text(words)})
        return Embedding(reply["embedding"], from_text(reply["dropped"]))

    async def encode_each(self, texts: Iterable[str], *, family: str) -> list[Embedding]:
        """Embeddings in the order of the texts; equal texts are encoded once."""
        texts = list(texts)
        different = list(dict.fromkeys(texts))
        found = await gather_or_cancel(*(self.encode(words, family=family) for words in different))
        return [found[different.index(words)] for words in texts]

"""The text encoder of every family at one door."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from services import json_text
from services.bundles.bundle import Bundle
from services.bundles.shared import load_shared
from services.refusal import Refusal, invalid
from services.text_encoder.words import Words

LONGEST = 10_000  # characters; a tokenizer's time grows with them


class TextEncoder:
    """Answers texts with embeddings, for every bundle that has a text encoder."""

    inputs = ("family", "text")

    def __init__(self, bundles: Iterable[Bundle], device: torch.device, dtype: torch.dtype) -> None:
        loaded = load_shared(
            bundles, "text_encoder", lambda bundle: bundle.network("text_encoder", device=device, dtype=dtype)
        )
        self._words = {item.bundle.name: Words(item.bundle.tokenizer(), item.network) for item in loaded}
        self._digests = {item.bundle.name: item.digest for item in loaded}

    def facts(self) -> dict[str, Any]:
        """What is loaded, by family."""
        return {
            "families": {
                name: {"weights": self._digests[name], "tokens": words.tokens, "width": words.width}
                for name, words in self._words.items()
            }
        }

    def probe(self) -> None:
        """Encodes an empty text for every family."""
        for words in self._words.values():
            words.encode("")

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The embedding of a text, float32 (tokens, width), and the end of the text that did not fit."""
        for name in self.inputs:
            if name not in request:
                raise invalid(name, "is missing")
        words = self._family(json_text.text("family", request["family"]))
        text = json_text.text("text", request["text"])
        if len(text) > LONGEST:
            raise invalid("text", f"has {len(text)} characters; at most {LONGEST} are read")
        encoded = words.encode(text)
        return {"embedding": encoded.embedding, "dropped": json_text.to_tensor(encoded.dropped)}

    def _family(self, name: str) -> Words:
        if name not in self._words:
            raise Refusal(
                "NOT_FOUND", f"family {name[:64]!r} is not loaded here; loaded: {', '.join(self._words)}"
            )
        return self._words[name]

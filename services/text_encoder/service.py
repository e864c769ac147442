"""The service `text_encoder`: the text encoders of all families."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from services import json_text
from services.bundles.bundle import Bundle
from services.bundles.shared_networks import load_shared
from services.refusal import Refusal, invalid
from services.text_encoder.prompt_encoder import PromptEncoder

LONGEST = 10_000  # characters; a tokenizer's time grows with them


class TextEncoder:
    """Returns the embedding of a text, for every bundle that has a text encoder."""

    inputs = ("family", "text")

    def __init__(
        self, bundles: Iterable[Bundle], device: torch.device, dtype: torch.dtype | None = None
    ) -> None:
        """Without `dtype`, each network has the number type that its bundle names for the device."""
        loaded = load_shared(
            bundles,
            "text_encoder",
            lambda bundle: dtype or bundle.number_type(device),
            lambda bundle, own: bundle.network("text_encoder", device=device, dtype=own),
        )
        self._encoders = {
            item.bundle.name: PromptEncoder(item.bundle.tokenizer(), item.network) for item in loaded
        }
        self._digests = {item.bundle.name: item.digest for item in loaded}

    def facts(self) -> dict[str, Any]:
        """What is loaded, by family."""
        return {
            "families": {
                name: {"weights": self._digests[name], "tokens": encoder.tokens, "width": encoder.width}
                for name, encoder in self._encoders.items()
            }
        }

    def digest(self, request: Mapping[str, Tensor]) -> str:
        """The digest of the weights of the request's family."""
        return self._digests[self._family(request)]

    def probe(self) -> None:
        """Encode an empty text for every family."""
        for encoder in self._encoders.values():
            encoder.encode("")

    def answer(self, request: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The embedding of a text, float32 (tokens, width), the end of the text that did not fit, and words
        that the encoder does not know."""
        encoder = self._encoders[self._family(request)]
        if "text" not in request:
            raise invalid("text", "is missing")
        text = json_text.text("text", request["text"])
        if len(text) > LONGEST:
            raise invalid("text", f"has {len(text)} characters; at most {LONGEST} are read")
        embedding = encoder.encode(text)
        return {
            "embedding": embedding.values,
            "dropped": json_text.to_tensor(embedding.dropped),
            "unknown": json_text.to_tensor(embedding.unknown),
        }

    def _family(self, request: Mapping[str, Tensor]) -> str:
        if "family" not in request:
            raise invalid("family", "is missing")
        family = json_text.text("family", request["family"])
        if family not in self._encoders:
            raise Refusal(
                "NOT_FOUND", f"family {family[:64]!r} is not loaded here; loaded: {', '.join(self._encoders)}"
            )
        return family

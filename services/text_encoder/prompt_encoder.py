"""The tokenizer and the CLIP text encoder of one family."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from services.bundles.bundle import BundleError


@dataclass(frozen=True)
class PromptEmbedding:
    """`values` is float32 shaped (tokens, width); `dropped` is the end of the text that did not fit. The
    words of `unknown` were never learnt."""

    values: Tensor
    dropped: str
    unknown: tuple[str, ...]


class PromptEncoder:
    """Encodes text exactly as the diffusers pipelines of this family do."""

    def __init__(self, tokenizer: Any, network: nn.Module) -> None:
        self._tokenizer = tokenizer
        self._network = network
        config: Any = network.config
        self.width: int = config.hidden_size
        self.tokens: int = tokenizer.model_max_length
        self._masked = bool(getattr(config, "use_attention_mask", False))
        if self.tokens > config.max_position_embeddings:
            raise BundleError(
                f"the tokenizer allows {self.tokens} tokens but the text encoder has only "
                f"{config.max_position_embeddings} positions; set model_max_length in tokenizer_config.json"
            )
        if len(tokenizer) > config.vocab_size:
            raise BundleError(
                f"the tokenizer knows {len(tokenizer)} tokens but the text encoder only {config.vocab_size}; "
                "they are not of the same bundle"
            )

    @torch.inference_mode()
    def encode(self, text: str) -> PromptEmbedding:
        """The embedding of a text, padded or truncated to the family's length, computed in a pass of its own.

        In a shared pass a row's rounding depends on the other rows, and a seed must give the same picture
        whatever other requests there are.
        """
        tokens = self._tokenizer(
            text, padding="max_length", max_length=self.tokens, truncation=True, return_tensors="pt"
        )
        device = self._network.device
        mask = tokens.attention_mask.to(device) if self._masked else None
        hidden = self._network(tokens.input_ids.to(device), attention_mask=mask)[0]
        return PromptEmbedding(hidden[0].float().cpu(), self._dropped(text), self._unknown(text))

    def _unknown(self, text: str) -> tuple[str, ...]:
        """The words that are no single token, each once, if the tokenizer says that those it knows are
        (`whole_words` in its config). Others put words together from pieces that mean something."""
        if not self._tokenizer.init_kwargs.get("whole_words"):
            return ()
        words = dict.fromkeys(re.findall(r"[^\W\d_]+", text))
        return tuple(word for word in words if len(self._tokenizer.tokenize(word)) > 1)

    def _dropped(self, text: str) -> str:
        """The text from the first token that is replaced by the end token."""
        spans = self._tokenizer(text, return_offsets_mapping=True).offset_mapping
        return text[spans[self.tokens - 1][0] :] if len(spans) > self.tokens else ""

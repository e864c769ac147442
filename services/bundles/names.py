"""Matches stored tensor names with a network's names: equal, except for known older spellings.

The same tensor has had several names over the years: attention in a VAE was spelled query, key, value and
proj_attn, and the text encoder's tensors lay under `text_model.`. A stored name is replaced by the newer one
only where the network has that one and not the stored one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Position ids are computed, not learned; old files hold them nevertheless.
_COMPUTED = re.compile(r"(^|\.)embeddings\.position_ids$")
_RENAMED = (
    (re.compile(r"^text_model\."), ""),
    (re.compile(r"\.query\.(weight|bias)$"), r".to_q.\1"),
    (re.compile(r"\.key\.(weight|bias)$"), r".to_k.\1"),
    (re.compile(r"\.value\.(weight|bias)$"), r".to_v.\1"),
    (re.compile(r"\.proj_attn\.(weight|bias)$"), r".to_out.0.\1"),
)


@dataclass(frozen=True)
class Match:
    """Pairs of a network's tensors and stored ones, and the names without a partner."""

    pairs: Mapping[str, str]  # the network's name -> the stored name
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def match(wanted: Iterable[str], stored: Iterable[str]) -> Match:
    """Pair the network's names with the stored ones."""
    known = set(wanted)
    pairs: dict[str, str] = {}
    unexpected: list[str] = []
    for name in stored:
        current = name if name in known else _newer(name, known)
        if current is not None and current not in pairs:
            pairs[current] = name
        elif not _COMPUTED.search(name):
            unexpected.append(name)
    return Match(pairs, tuple(sorted(known - pairs.keys())), tuple(sorted(unexpected)))


def _newer(name: str, known: set[str]) -> str | None:
    for pattern, replacement in _RENAMED:
        renamed = pattern.sub(replacement, name)
        if renamed != name and renamed in known:
            return renamed
    return None

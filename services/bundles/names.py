"""Stored names and the network's names: strictly the same, but for what published files are known to say.

The same tensor has had several names over the years: attention in a VAE was spelled query, key, value and
proj_attn, and the text encoder's tensors lay under `text_model.`. A stored name is read the newer way only
where the network knows that one and not the stored one.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

# Counting up from 0 is computed, not learned; old files carry it all the same.
_IDLE = re.compile(r"(^|\.)embeddings\.position_ids$")
_RENAMED = (
    (re.compile(r"^text_model\."), ""),
    (re.compile(r"\.query\.(weight|bias)$"), r".to_q.\1"),
    (re.compile(r"\.key\.(weight|bias)$"), r".to_k.\1"),
    (re.compile(r"\.value\.(weight|bias)$"), r".to_v.\1"),
    (re.compile(r"\.proj_attn\.(weight|bias)$"), r".to_out.0.\1"),
)


@dataclass(frozen=True)
class Match:
    """Which stored tensor belongs to which of the network's, and what has no partner."""

    pairs: Mapping[str, str]  # the network's name -> the stored name
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]


def match(wanted: Iterable[str], stored: Iterable[str]) -> Match:
    """Pair the network's names with the stored ones."""
    known = set(wanted)
    pairs: dict[str, str] = {}
    unexpected: list[str] = []
    for name in stored:
        meant = name if name in known else _newer(name, known)
        if meant is not None and meant not in pairs:
            pairs[meant] = name
        elif not _IDLE.search(name):
            unexpected.append(name)
    return Match(pairs, tuple(sorted(known - pairs.keys())), tuple(sorted(unexpected)))


def _newer(name: str, known: set[str]) -> str | None:
    for pattern, replacement in _RENAMED:
        renamed = pattern.sub(replacement, name)
        if renamed != name and renamed in known:
            return renamed
    return None

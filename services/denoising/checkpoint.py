"""Checkpoints: a trajectory in the middle of its way, as one safetensors blob."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, eq=False)
class Checkpoint:
    nbytes: int

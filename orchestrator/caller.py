"""Callers: who sent a request. Jobs and request ids belong to one caller and are found by no other."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Caller:
    """The sender of a request, by name."""

    name: str

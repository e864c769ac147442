"""The needs of a run: what it takes from the machine and from the model that does most of its work."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Needs:
    """The most bytes that a run holds at any moment, and the most requests that it has at the model at a
    time."""

    memory: int = 0
    requests: int = 1


LITTLE = Needs()

"""Recipes as a job driver gets them: bound to their stages, with the types of what is stored of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestrator.runs.run import Run
from orchestrator.stages.memory import Memory

# Carries out a request, reporting to the run, and going on from what is remembered.
CarryOut: TypeAlias = Callable[[Any, Run, Memory], Awaitable[Any]]


@dataclass(frozen=True)
class BoundRecipe:
    """A recipe, the types of its request and its result, and the version that requests are stored for.

    `partial` makes a result of what is remembered, for a job that is cancelled and keeps it; None if nothing
    is finished.
    """

    carry_out: CarryOut
    request: type
    result: type
    version: int = 1
    partial: CarryOut | None = None

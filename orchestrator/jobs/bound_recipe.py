"""Recipes as a job driver gets them: bound to what they work with, with the types of what is stored of them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any, TypeAlias

from orchestrator.runs.run import Run

# Carries out a request, reporting to the run.
CarryOut: TypeAlias = Callable[[Any, Run], Awaitable[Any]]


@dataclass(frozen=True)
class BoundRecipe:
    """A recipe, the types of its request and its result, and the version that requests are stored for."""

    carry_out: CarryOut
    request: type
    result: type
    version: str = ""

"""The facts that denoisers published last. Requests are resolved with them when they come in."""

from __future__ import annotations

import asyncio

from intarsia.errors import Busy, ModelDown
from orchestrator.models.facts import ModelFacts
from orchestrator.stages.factory import StageFactory

# Time for a model to publish its facts: for the first time, and when older facts are known.
_FIRST_SECONDS, _REFRESH_SECONDS = 20.0, 1.0


class LatestFacts:
    """Remembers the facts of every model, so that requests are taken in while it is down."""

    def __init__(self, stage_factory: StageFactory) -> None:
        self._stage_factory = stage_factory
        self._latest: dict[str, ModelFacts] = {}

    async def of(self, model: str) -> ModelFacts:
        """The facts of a model; those it published last if it does not answer in time.

        Raises NotReady if it has no weights, ModelDown if it has never published any facts.
        """
        latest = self._latest.get(model)
        seconds = _FIRST_SECONDS if latest is None else _REFRESH_SECONDS
        try:
            self._latest[model] = await asyncio.wait_for(self._stage_factory.facts(model), seconds)
        except (Busy, ModelDown):
            if latest is None:
                raise
        except asyncio.TimeoutError:
            if latest is None:
                raise ModelDown(
                    f"{model} has published no facts within {seconds:g} s; try again in a moment", model=model
                ) from None
        return self._latest[model]

"""The facts that models published last. Requests are resolved with them when they come in."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable, Mapping
from typing import Any

from intarsia.errors import Busy, ModelDown, NotReady
from orchestrator.aio import gather_or_cancel
from orchestrator.models.facts import Facts
from orchestrator.models.registry import MODELS
from orchestrator.stages.factory import StageFactory

log = logging.getLogger(__name__)

# Time for a model to publish its facts: for the first time, and when older facts are known.
_FIRST_SECONDS, _REFRESH_SECONDS = 20.0, 1.0


class LatestFacts:
    """Remembers the facts of every model, so that requests are taken in while it is down."""

    def __init__(self, stage_factory: StageFactory) -> None:
        self._stage_factory = stage_factory
        self._latest: dict[str, Mapping[str, Any]] = {}

    async def of(self, models: Iterable[str]) -> Facts:
        """The facts of some models; those that one published last if it does not answer in time.

        Raises NotReady if one has no weights, ModelDown if one has never published any facts.
        """
        models = list(models)
        return dict(zip(models, await gather_or_cancel(*map(self._of, models)), strict=True))

    async def read_all(self) -> None:
        """Reads the facts of every model; raises the error of the first one that does not answer.

        Models that are optional may be without weights.
        """
        await gather_or_cancel(*map(self._read, MODELS))

    async def _of(self, model: str) -> Mapping[str, Any]:
        latest = self._latest.get(model)
        seconds = _FIRST_SECONDS if latest is None else _REFRESH_SECONDS
        try:
            facts = self._stage_factory.facts(model, waits=latest is None)
            self._latest[model] = await asyncio.wait_for(facts, seconds)
        except (Busy, ModelDown):
            if latest is None:
                raise
        except asyncio.TimeoutError:
            if latest is None:
                raise ModelDown(
                    f"{model} has published no facts within {seconds:g} s; try again in a moment", model=model
                ) from None
        return self._latest[model]

    async def _read(self, model: str) -> None:
        try:
            self._latest[model] = await self._stage_factory.facts(model)
        except NotReady as missing:
            if not MODELS[model].optional:
                raise
            log.warning("%s is not served: %s", model, missing)

"""The orchestrator, built from its settings."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

from intarsia.errors import Busy, IntarsiaError
from orchestrator import metrics
from orchestrator.api.adapters import Adapters
from orchestrator.api.artifacts import Artifacts
from orchestrator.api.editing import Editing
from orchestrator.api.immediate import ImmediateCalls
from orchestrator.api.intake import Intake
from orchestrator.api.jobs import Jobs
from orchestrator.api.segmentation import Segmentation
from orchestrator.api.server import Server
from orchestrator.api.stores import Stores
from orchestrator.api.uploads import UploadLimits, Uploads
from orchestrator.deadline import Deadline
from orchestrator.jobs.bound_recipe import BoundRecipe, CarryOut
from orchestrator.jobs.free_memory import free_memory
from orchestrator.jobs.latest_facts import LatestFacts
from orchestrator.jobs.ledger.database import BadDatabase, Database
from orchestrator.jobs.ledger.ledger import Ledger
from orchestrator.jobs.ledger.references import References
from orchestrator.jobs.ledger_jobs import JobLimits, LedgerJobs
from orchestrator.jobs.queue import JobQueue
from orchestrator.jobs.retention.ledger_retention import LedgerRetention
from orchestrator.jobs.retention.times_to_live import TimesToLive
from orchestrator.jobs.worker import WorkLimits
from orchestrator.media.decoding_budget import DecodingBudget
from orchestrator.media.picture.picture import PictureLimits
from orchestrator.media.picture.picture_cache import PictureCache
from orchestrator.media.pictures import Pictures
from orchestrator.models.admission import WaitLimits
from orchestrator.models.capacity import ModelCapacity
from orchestrator.models.registry import MODELS
from orchestrator.runs.needs import Needs
from orchestrator.runs.run import Run
from orchestrator.settings import BadSetting, Settings
from orchestrator.stages.factory import StageFactory, Stages
from orchestrator.stages.memory import Memory
from orchestrator.stages.trajectory_memory import CheckpointLimits
from orchestrator.triton.models import Models
from orchestrator.triton.stall import StallLimits
from orchestrator.workflows.recipes import RECIPES, Recipe
from store.disk import DiskStore

log = logging.getLogger(__name__)

# Fraction of the memory that is free at start, for all running jobs, and as much for decoding. Models beside
# it plan with 0.6 for requests and a quarter as much for adapters.
_MEMORY_SHARE = 0.25
# Bytes for a pixel of the largest picture, if it has 8 bits and no odd colours, with its file.
_DECODED_PIXEL = 16
# Time for watchers of the last jobs to get their last message, and for open downloads.
_CLOSE_SECONDS = 5.0
# A client that waited for one of the last jobs asks for its result next. After so long without a call none
# will.
_IDLE_SECONDS = 2.0
# By how much times of files and of jobs may differ: of a database and file servers elsewhere, and of one
# machine, where files get the time of its last tick.
_OTHER_CLOCKS, _SAME_CLOCK = 300.0, 1.0


class Orchestrator:
    """Serves from `start` to `stop`."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        stall_limits = StallLimits(
            steps=settings.stall_steps,
            floor=settings.stall_floor,
            first=settings.stall_first,
            answer=settings.stall_answer,
        )
        wait_limits = WaitLimits(full=settings.wait_full, away=settings.wait_away)
        self._models = Models(
            settings.triton, stall_limits, decoupled=[name for name, spec in MODELS.items() if spec.decoupled]
        )
        self._store = _open_store(settings.artifacts)
        picture_cache = PictureCache(int(settings.picture_memory * 1e6))
        limits = PictureLimits(settings.picture_megapixels)
        pictures = Pictures(self._store, limits, picture_cache, _decoding_budget(settings, limits))
        self._stage_factory = StageFactory(
            self._models,
            pictures,
            wait_limits,
            CheckpointLimits(after=settings.checkpoint_after, every=settings.checkpoint_every),
            encoder=settings.video_encoder,
        )
        self._facts = LatestFacts(self._stage_factory)
        self.keeps = TimesToLive(
            uploads=settings.keep_uploads,
            results=settings.keep_results,
            jobs=settings.keep_jobs,
            previews=settings.keep_previews,
            intermediates=settings.keep_intermediates,
        )

    async def start(self) -> int:
        """Opens the ledger, listens, and returns the port. What needs no model is served from now on."""
        settings = self._settings
        self._database = await _open_database(settings.jobs_database, self._store)
        self.jobs = LedgerJobs(
            Ledger(self._database),
            {name: _bind(self._stage_factory, recipe) for name, recipe in RECIPES.items()},
            self._queue(settings),
            JobLimits(settings.jobs_waiting, settings.time_limit, settings.batch_time_limit),
            WorkLimits(settings.jobs_lease, settings.batch_idle, settings.jobs_interruptions),
        )
        retention = LedgerRetention(
            self._store,
            References(self._database),
            self.keeps,
            tolerance=_OTHER_CLOCKS if self._database.is_shared else _SAME_CLOCK,
        )
        self._store.space.free_by(retention.free)
        immediate = ImmediateCalls(
            self._stage_factory, at_once=settings.segment_at_once, time_limit=settings.segment_seconds
        )
        stores = Stores(self._store, retention)
        intake = Intake(self.jobs, stores, self._facts, self._needs_of)
        self._server = Server(
            Artifacts(stores, Uploads(UploadLimits(settings.uploads_per_peer, settings.upload_idle))),
            Segmentation(intake, immediate),
            Editing(intake, immediate),
            Adapters(immediate, stores),
            Jobs(self.jobs),
        )
        try:
            port = await self._server.start(settings.listen)
        except RuntimeError as error:
            await self._database.close()
            raise BadSetting(f"INTARSIA_LISTEN={settings.listen}: {error}") from None
        await self.jobs.start()
        self._sweeping = asyncio.ensure_future(retention.run())
        return port

    def _queue(self, settings: Settings) -> JobQueue:
        memory = settings.jobs_memory
        return JobQueue(
            ModelCapacity({name: self._models[recipe.model] for name, recipe in RECIPES.items()}),
            RECIPES,
            memory=free_memory() * _MEMORY_SHARE if memory is None else memory * 1e6,
            running=settings.jobs_running,
            long=[name for name, recipe in RECIPES.items() if recipe.long],
        )

    async def _needs_of(self, method: str, request: Any) -> Needs:
        return await RECIPES[method].needs(request, self._stage_factory.at(Run(Deadline())))

    def measure(self) -> int:
        """Serves metrics to Prometheus and returns the port."""
        host, _, port = self._settings.metrics.rpartition(":")
        try:
            return metrics.serve(host.strip("[]"), int(port))
        except OSError as error:
            raise BadSetting(f"INTARSIA_METRICS_LISTEN={self._settings.metrics}: {error}") from None

    async def wait_until_ready(self) -> None:
        """Returns when every model has returned its facts; asks again while one is away."""
        pause = 0.25
        while True:
            try:
                await self._facts.read_all()
            except IntarsiaError as error:
                log.warning("the models are not all there yet: %s", error)
            else:
                await self._server.ready()
                return
            await asyncio.sleep(pause)
            pause = min(2 * pause, 4.0)

    async def stop(self, grace: float) -> None:
        """Takes no new jobs, lets those that run finish for `grace` seconds, and ends.

        A job that is not finished by then is handed back to the ledger. May be called again with less grace.
        """
        await self._server.retire()
        if await self.jobs.drain(grace):
            await self._server.wait_until_idle(_IDLE_SECONDS, within=_CLOSE_SECONDS)
        await self._server.stop(_CLOSE_SECONDS)
        self._sweeping.cancel()
        await asyncio.wait({self._sweeping})
        await self._models.close()
        await self._database.close()


def _decoding_budget(settings: Settings, limits: PictureLimits) -> DecodingBudget:
    if settings.decoding_memory is None:
        size = max(free_memory() * _MEMORY_SHARE, _DECODED_PIXEL * limits.megapixels * 1e6)
    else:
        size = settings.decoding_memory * 1e6
    budget = DecodingBudget(size)
    metrics.DECODING_MEMORY_BYTES.set(size)
    metrics.DECODING_HELD_BYTES.set_function(lambda: budget.held)
    return budget


def _open_store(folder: Path) -> DiskStore:
    try:
        return DiskStore(folder)
    except (Busy, OSError) as error:  # Busy: a full disk, on which a store cannot begin
        raise BadSetting(f"INTARSIA_ARTIFACTS={folder}: {error}") from None


async def _open_database(url: str, store: DiskStore) -> Database:
    """The database of the jobs whose artifacts are in this store."""
    try:
        database = await Database.open(url, space=store.space)
        try:
            await References(database).bind(store.identity)
        except BaseException:
            await database.close()
            raise
    except (BadDatabase, IntarsiaError, OSError) as error:
        raise BadSetting(f"INTARSIA_JOBS_DATABASE: {error}") from None
    return database


def _bind(stage_factory: StageFactory, recipe: Recipe) -> BoundRecipe:
    def bind(carry_out: Callable[[Any, Stages], Awaitable[Any]]) -> CarryOut:
        async def bound(request: Any, run: Run, memory: Memory) -> Any:
            return await carry_out(request, stage_factory.at(run, memory))

        return bound

    return BoundRecipe(
        bind(recipe.carry_out),
        recipe.request,
        recipe.result,
        recipe.version,
        None if recipe.partial is None else bind(recipe.partial),
    )

"""The same jobs twice: undisturbed, and with kills; then the two are compared."""

from __future__ import annotations

import asyncio
import random
import signal
import time
from collections import Counter
from collections.abc import Awaitable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from benchmarks.kill_jobs import findings, load
from benchmarks.kill_jobs.audit import begin_audit, check_account, read_account
from benchmarks.kill_jobs.clients import Clients
from benchmarks.kill_jobs.disturbances import Disturbances
from benchmarks.kill_jobs.findings import Findings
from benchmarks.kill_jobs.folder_command import FolderCommand
from benchmarks.kill_jobs.job_records import JobRecords
from benchmarks.kill_jobs.orchestrators import OrchestratorProcess
from deploy.local.model_server import ModelServer
from intarsia.client import AsyncClient
from intarsia.results import JobStatus
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.references import References
from orchestrator.jobs.retention.sweep import Sweep
from orchestrator.jobs.retention.times_to_live import TimesToLive
from store.disk import DiskStore

T = TypeVar("T")

_LOOK_SECONDS = 0.05
_SENT_SIGNALS = (-signal.SIGKILL, -signal.SIGTERM)  # by disturbances, and by the model server's supervisor
_LATER = 2 * 86400.0  # seconds; leftovers of crashes stay for a day, uploads and results for a month


@dataclass(frozen=True)
class TrialSettings:
    """What is run, and what happens to it. Durations are in seconds."""

    folder: Path  # for stores, databases and logs; must be empty
    ways: Sequence[Sequence[str]]  # what happens, in order; a list for each orchestrator
    database: str = ""  # all orchestrators share it; empty for the file beside the artifacts
    requests: int = 20  # different ones
    pictures: int = 12  # of the folder
    at_once: int = 6  # jobs, beside those of the folder
    lease: float = 2.0
    pause: float = 4.0
    seed: int = 7


@dataclass
class TrialResult:
    """What happened, and what was found."""

    disturbances: Counter[str]
    jobs: Counter[str]  # by method
    takeovers: int  # claims of jobs that had begun before
    folder_rounds: int
    undisturbed_seconds: float
    disturbed_seconds: float
    findings: Findings


async def run_trial(settings: TrialSettings, server: ModelServer) -> TrialResult:
    """Runs both and compares them."""
    folder = FolderCommand(settings.folder / "folder", settings.pictures, settings.seed)
    found = Findings()
    began = time.perf_counter()
    expected, files = await _undisturbed(settings, server, folder, found)
    middle = time.perf_counter()
    result = await _disturbed(settings, server, folder, expected, files, found)
    result.undisturbed_seconds, result.disturbed_seconds = middle - began, time.perf_counter() - middle
    return result


async def _undisturbed(
    settings: TrialSettings, server: ModelServer, folder: FolderCommand, found: Findings
) -> tuple[dict[int, Any], dict[str, bytes]]:
    """The right results of all requests by number, and the right files of the folder."""
    orchestrator = _orchestrator(settings, server, "undisturbed", database="")
    with ExitStack() as leaving:
        leaving.callback(orchestrator.stop)
        orchestrator.start()
        await orchestrator.serving()
        async with Clients([orchestrator.address]) as clients:
            requests = await clients.call(_requests(settings))
            records = JobRecords(clients, settings.at_once, settings.seed)
            enough = asyncio.Event()
            enough.set()
            _, files = await _watched(
                [orchestrator],
                server,
                found,
                asyncio.gather(records.submit_in_turns(requests, enough), folder.run(orchestrator.address)),
            )
    findings.check_exits(found, orchestrator.exits)
    ends = {record.number: record.end for record in records.records}
    return {number: load.without_times(end.result) for number, end in ends.items() if end is not None}, files


async def _disturbed(
    settings: TrialSettings,
    server: ModelServer,
    folder: FolderCommand,
    expected: Mapping[int, Any],
    files: Mapping[str, bytes],
    found: Findings,
) -> TrialResult:
    artifacts = _artifacts(settings, "disturbed")
    database = settings.database or f"sqlite:///{artifacts}/jobs.sqlite"
    orchestrators = [_orchestrator(settings, server, "disturbed", database=database) for _ in settings.ways]
    troubles = [
        Disturbances(each, server, lease=settings.lease, pause=settings.pause, seed=settings.seed + number)
        for number, each in enumerate(orchestrators)
    ]
    with ExitStack() as leaving:
        for each in orchestrators:
            leaving.callback(each.stop)
            each.start()
        await asyncio.gather(*(each.serving() for each in orchestrators))
        begin_audit(database)
        async with Clients([each.address for each in orchestrators]) as clients:
            requests = await clients.call(_requests(settings))
            records = JobRecords(clients, settings.at_once, settings.seed)
            enough = asyncio.Event()
            _, rounds, _ = await _watched(
                orchestrators,
                server,
                found,
                asyncio.gather(
                    records.submit_in_turns(requests, enough),
                    folder.run_in_turns(orchestrators[0].address, enough),
                    _disturb(troubles, settings.ways, enough),
                ),
            )
            listing = await clients.call(_listing)
        findings.check_jobs(found, records.records, listing, expected)
        findings.check_folder(found, rounds, files)
    findings.check_exits(found, [*folder.exits, *(line for each in orchestrators for line in each.exits)])
    await _sweep(database, artifacts)
    account = read_account(database)
    check_account(found, account, in_order=len(orchestrators) == 1)
    findings.check_files(found, artifacts, account.references, _artifacts(settings, "undisturbed"))
    started = [each for process in orchestrators for each in process.started]
    findings.check_processes(found, [*started, *(each for trouble in troubles for each in trouble.servers)])
    return TrialResult(
        disturbances=sum((trouble.counts for trouble in troubles), Counter()),
        jobs=Counter(job.method for job in listing),
        takeovers=account.takeovers,
        folder_rounds=len(rounds),
        undisturbed_seconds=0.0,
        disturbed_seconds=0.0,
        findings=found,
    )


async def _watched(
    orchestrators: Sequence[OrchestratorProcess], server: ModelServer, found: Findings, work: Awaitable[T]
) -> T:
    """What `work` gives; meanwhile orchestrators that end by themselves are started again, and ends of the
    model server by itself are noted: its supervisor starts it again."""
    working = asyncio.ensure_future(work)
    exits: dict[int, str] = {}
    while not working.done():
        for each in orchestrators:
            each.check()
        pid, code = server.triton.pid, server.triton.exit_code
        if code and code not in _SENT_SIGNALS:
            exits[pid] = f"model server {pid} ended with {code}"
        await asyncio.wait([working], timeout=_LOOK_SECONDS)
    findings.check_exits(found, exits.values())
    return working.result()


async def _disturb(
    troubles: Sequence[Disturbances], ways: Sequence[Sequence[str]], enough: asyncio.Event
) -> None:
    await asyncio.gather(*(trouble.disturb(each) for trouble, each in zip(troubles, ways, strict=True)))
    enough.set()


async def _sweep(url: str, artifacts: Path) -> None:
    """Removes what retention removes in the next days: of what jobs have made, only their results stay."""
    database = await Database.open(url)
    try:
        sweep = Sweep(
            DiskStore(artifacts),
            References(database),
            TimesToLive(),
            tolerance=1.0,
            clock=lambda: time.time() + _LATER,
        )
        await sweep.run()
    finally:
        await database.close()


def _requests(settings: TrialSettings) -> Any:
    async def made(client: AsyncClient) -> list[Any]:
        return await load.requests(client, settings.requests, settings.seed)

    return made


async def _listing(client: AsyncClient) -> list[JobStatus[Any]]:
    return [job async for job in client.list_jobs(page_size=200)]


def _orchestrator(
    settings: TrialSettings, server: ModelServer, name: str, *, database: str
) -> OrchestratorProcess:
    environment = {
        "INTARSIA_TRITON": server.triton.url,
        "INTARSIA_ARTIFACTS": str(_artifacts(settings, name)),
        "INTARSIA_JOBS_LEASE_SECONDS": f"{settings.lease:g}",
        # On a slow machine many kills fall into one job, which is not their cause here.
        "INTARSIA_JOBS_INTERRUPTIONS": "1000000",
        **({"INTARSIA_JOBS_DATABASE": database} if database else {}),
    }
    return OrchestratorProcess(settings.folder / name, environment)


def _artifacts(settings: TrialSettings, name: str) -> Path:
    return (settings.folder / name / "artifacts").resolve()


def shuffled(counts: Mapping[str, int], seed: int) -> list[str]:
    """So many of each way, in a random order."""
    ways = [way for way, count in counts.items() for _ in range(count)]
    random.Random(seed).shuffle(ways)
    return ways

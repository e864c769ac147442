"""What do the ledger's operations cost, and do they cost more with many jobs than with few?

    python -m benchmarks.ledger_costs
    python -m benchmarks.ledger_costs --database postgresql --rounds 400

Two ledgers are measured in turns, on both databases: one with 10 waiting and 10 finished jobs, one with
10,000 and 100,000. A round submits a job, claims the one whose turn it is, lets it remember a stage, reports,
renews, ends it, and lists jobs; a finished job is then removed, so that the sizes stay. Beside it stands the
time of writing 4 KB to a file of the same disk and waiting for it (`fdatasync`), which every durable commit
has to do. The bar: with many jobs an operation takes at most 1.5 times as long as with few, by the median of
the rounds' ratios; submit makes at most two durable commits, claims, reports, renewals and lists none; and
the memory of the process stays flat. Commits are counted in rounds of their own, by what the databases
themselves say: a commit is durable if its transaction changed a row and waits for the disk.
"""

from __future__ import annotations

import asyncio
import os
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Awaitable, Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import psutil
from sqlalchemy import delete

from benchmarks.durable_commits import durable_commits
from benchmarks.filled_ledger import (
    CALLER,
    LABEL,
    LEASE,
    METHODS,
    OWNER,
    FilledLedger,
    filled,
    new_job,
    results,
)
from benchmarks.memory import flatness
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, median, percentile, verdicts
from orchestrator.jobs.job import JobFilter, State
from orchestrator.jobs.ledger import tables
from orchestrator.jobs.ledger.entry import ClaimableJob
from tests.postgres import Postgres

FEW, MANY = (10, 10), (10_000, 100_000)  # jobs that wait, and finished ones
MOST_SLOWER = 1.5
# Durable commits that an operation may make.
MOST_COMMITS = {
    "submit": 2,
    "claim": 0,
    "report": 0,
    "renew": 0,
    "list": 0,
    "list by state": 0,
    "list by label": 0,
}
_PAGE = 2  # as many as even the small ledger has of each kind

Operation = Callable[[], Awaitable[Any]]


async def a_round(filled: FilledLedger, spend: Callable[[str, Operation], Awaitable[Any]]) -> None:
    """One job from its submission to its end, and three lists; each by way of `spend`."""
    ledger = filled.ledger
    new = new_job(filled.ids, METHODS[0])

    def first(jobs: Sequence[ClaimableJob]) -> str:
        return jobs[0].name

    await spend("submit", lambda: ledger.submit(new))
    hold, _ = await spend("claim", lambda: ledger.claim(OWNER, LEASE, first))
    await spend("remember", lambda: ledger.remember(hold, "encode", "{}" * 100, results()))
    await spend("report", lambda: ledger.report(hold, "{}" * 50))
    await spend("renew", lambda: ledger.renew([hold], LEASE))
    await spend(
        "end", lambda: ledger.end(hold, State.SUCCEEDED, spent=1.0, result="{}" * 500, references=results())
    )
    await spend("list", lambda: ledger.list(CALLER, size=_PAGE))
    by_state = JobFilter(states=frozenset({State.SUCCEEDED}))
    await spend("list by state", lambda: ledger.list(CALLER, by_state, size=_PAGE))
    by_label = JobFilter(labels=frozenset({LABEL}))
    await spend("list by label", lambda: ledger.list(CALLER, by_label, size=_PAGE))
    jobs = tables.jobs
    await filled.database.run(
        lambda connection: connection.execute(delete(jobs).where(jobs.c.name == hold.name))
    )


async def times(filled: FilledLedger) -> dict[str, float]:
    """The seconds of each operation in one round."""
    found: dict[str, float] = {}

    async def spend(name: str, operation: Operation) -> Any:
        began = time.perf_counter()
        outcome = await operation()
        found[name] = time.perf_counter() - began
        return outcome

    await a_round(filled, spend)
    return found


async def commits(filled: FilledLedger) -> dict[str, int]:
    """The durable commits of each operation in one round."""
    found: dict[str, int] = {}

    async def spend(name: str, operation: Operation) -> Any:
        with durable_commits() as counted:
            outcome = await operation()
        found[name] = len(counted)
        return outcome

    await a_round(filled, spend)
    return found


def one_fsync(file: int) -> float:
    """Seconds of writing 4 KB and waiting for the disk."""
    began = time.perf_counter()
    os.pwrite(file, os.urandom(4096), 0)
    os.fdatasync(file)
    return time.perf_counter() - began


async def measure(
    report: BenchmarkReport,
    name: str,
    urls: Sequence[str],
    folder: Path,
    sizes: Sequence[tuple[int, int]],
    rounds: int,
) -> None:
    """Adds a line for each operation: with few jobs in the first database, with many in the second.

    `folder` is on the databases' disk.
    """
    spent: dict[str, list[tuple[float, float]]] = defaultdict(list)
    memory: list[int] = []
    process = psutil.Process()
    async with filled(urls[0], *sizes[0]) as few, filled(urls[1], *sizes[1]) as many:
        with tempfile.NamedTemporaryFile(dir=folder) as file:
            for number in range(rounds + 1):
                low, high = await times(few), await times(many)
                fsync = one_fsync(file.fileno())
                if number:  # the first is a warm-up
                    for operation in low:
                        spent[operation].append((low[operation], high[operation]))
                    spent["fsync"].append((fsync, fsync))
                    memory.append(process.memory_info().rss)
        counts = [await commits(many) for _ in range(3)]
    for operation, pairs in spent.items():
        lows, highs = zip(*pairs, strict=True)
        slower = median([high / low for low, high in pairs])
        made = max((count.get(operation, 0) for count in counts), default=0)
        report.add(
            database=name,
            operation=operation,
            few_ms=round(median(lows) * 1e3, 2),
            many_ms=round(median(highs) * 1e3, 2),
            many_p90_ms=round(percentile(highs, 0.9) * 1e3, 2),
            times_slower=round(slower, 2),
            durable_commits=None if operation == "fsync" else made,
            met=slower <= MOST_SLOWER and made <= MOST_COMMITS.get(operation, made),
        )
    flat = flatness("process", memory, each="round")
    report.add(database=name, operation="memory", **flat, met=bool(flat["process_flat"]))


def run(report: BenchmarkReport, database: str, sizes: Sequence[tuple[int, int]], rounds: int) -> None:
    """Measures one kind of database, in a folder that is removed afterwards."""
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory()))
        if database == "postgresql":
            server = leaving.enter_context(Postgres(durable=True))
            urls = [server.create() for _ in sizes]
        else:
            urls = [f"sqlite:///{folder}/{number}.sqlite" for number, _ in enumerate(sizes)]
        asyncio.run(measure(report, database, urls, folder, sizes, rounds))


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--database", choices=("sqlite", "postgresql"), help="only this one")
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--waiting", type=int, default=MANY[0], help="jobs that wait in the large ledger")
    parser.add_argument("--finished", type=int, default=MANY[1], help="finished jobs of the large ledger")
    options = parse(parser, argv, starter=False)
    origin = Origin.here(argv, module="benchmarks.ledger_costs", threads=1, weights="")
    asks = (
        f"The ledger with {options.waiting} waiting and {options.finished} finished jobs, and with "
        f"{FEW[0]} and {FEW[1]}: milliseconds"
    )
    report = BenchmarkReport("ledger_costs", asks, origin)
    for database in [options.database] if options.database else ["sqlite", "postgresql"]:
        run(report, database, (FEW, (options.waiting, options.finished)), options.rounds)
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())

"""What the ledger's operations cost, in a short form: commits are judged here, times only by the long one."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from benchmarks import ledger_costs
from benchmarks.durable_commits import durable_commits
from benchmarks.filled_ledger import CALLER, filled, new_job
from benchmarks.report import BenchmarkReport, Origin
from tests.postgres import Postgres

SIZES = ((10, 10), (40, 200))


@pytest.fixture(params=["sqlite", "postgresql"])
def urls(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    """The addresses of two empty databases."""
    if request.param == "sqlite":
        return [f"sqlite:///{tmp_path}/{number}.sqlite" for number in range(2)]
    server: Postgres = request.getfixturevalue("postgres")
    return [server.create(), server.create()]


def test_every_operation_has_a_line_and_makes_as_few_durable_commits_as_promised(
    urls: list[str], tmp_path: Path
) -> None:
    origin = Origin.here([], module="benchmarks.ledger_costs", threads=1, weights="")
    report = BenchmarkReport("ledger_costs", "?", origin)
    asyncio.run(ledger_costs.measure(report, "some", urls, tmp_path, SIZES, rounds=2))
    lines = {line["operation"]: line for line in report.lines}
    commits = {name: line.get("durable_commits") for name, line in lines.items()}
    writes = {"submit": 1, "claim": 0, "remember": 1, "report": 0, "renew": 0, "end": 1}
    lists = dict.fromkeys(("list", "list by state", "list by label"), 0)
    assert commits == {**writes, **lists, "fsync": None, "memory": None}
    assert all(lines[name]["many_ms"] > 0 for name in [*writes, *lists, "fsync"])


def test_a_filled_ledger_counts_and_lists_its_jobs(urls: list[str]) -> None:
    async def look() -> tuple[int, int, int]:
        async with filled(urls[0], *SIZES[1]) as made:
            with durable_commits() as counted:
                jobs = await made.ledger.list(CALLER, size=1000)
                waiting = await made.ledger.waiting()
                assert not counted
                await made.ledger.submit(new_job(made.ids, "EditRegion"))
            return waiting, len(jobs), len(counted)

    assert asyncio.run(look()) == (40, 240, 1)

"""What a disturbed run is found to have lost, doubled, changed or left behind."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from benchmarks.kill_jobs.job_records import JobRecord
from benchmarks.kill_jobs.load import without_times
from benchmarks.leftovers import Started
from intarsia.results import JobState, JobStatus

_END_SECONDS = 10.0  # for processes whose parent has just ended


@dataclass
class Findings:
    """Counts of faults by kind, all of them 0 if jobs survive, and a line for each fault."""

    counts: Counter[str] = field(default_factory=Counter)
    faults: list[str] = field(default_factory=list)

    def add(self, kind: str, faults: Iterable[str]) -> None:
        """Adds faults of one kind, which is counted even if there are none."""
        new = [f"{kind}: {fault}" for fault in faults]
        self.counts[kind] += len(new)
        self.faults += new


def check_jobs(
    findings: Findings,
    records: Sequence[JobRecord],
    listing: Sequence[JobStatus[Any]],
    expected: Mapping[int, Any],
) -> None:
    """Compares what clients saw with what the server lists now, and with the undisturbed results by number.

    `listing` has all jobs, also those of the folder, whose request ids are not in `records`.
    """
    by_id: dict[str, list[JobStatus[Any]]] = {}
    for job in listing:
        by_id.setdefault(job.request_id, []).append(job)
    # What clients know and the server does not, or what did not succeed.
    findings.add("lost", (record.request_id for record in records if record.request_id not in by_id))
    findings.add(
        "failed", (f"{job.name} {job.error!r}" for job in listing if job.state is not JobState.SUCCEEDED)
    )
    findings.add("doubled", (name for name, jobs in by_id.items() if len(jobs) > 1))
    findings.add("doubled", (str(record.names) for record in records if len(record.names) > 1))
    for record in records:
        if record.end is None or record.request_id not in by_id:
            continue
        (now,) = by_id[record.request_id][:1]
        findings.add("changed after its end", [now.name] if _end(now) != _end(record.end) else [])
        right = now.result is not None and without_times(now.result) == expected[record.number]
        findings.add("unequal", [] if right else [f"{now.name} of request {record.number}"])


def check_folder(
    findings: Findings, rounds: Sequence[Mapping[str, bytes]], expected: Mapping[str, bytes]
) -> None:
    """Compares the files of every round with those of the undisturbed one."""
    for number, files in enumerate(rounds):
        names = sorted(files.keys() | expected.keys())
        findings.add(
            "unequal", (f"{name}, round {number}" for name in names if files.get(name) != expected.get(name))
        )


def check_files(findings: Findings, store: Path, references: Collection[str], beside: Path) -> None:
    """Compares a store with the digests that jobs refer to. `beside` is a store that was never disturbed: no
    other files lie in it."""
    found = stored(store)
    findings.add("orphaned files", sorted(found - set(references)))
    findings.add("lost files", sorted(set(references) - found))
    findings.add("damaged files", (name for name in sorted(found) if _digest(store, name) != name))
    findings.add("orphaned files", (str(path) for path in (store / "drafts").iterdir()))
    findings.add("orphaned files", sorted(_beside(store) - _beside(beside)))


def stored(store: Path) -> set[str]:
    """The names of all files in a store that hold an artifact's bytes or describe them."""
    return {path.name.removesuffix(".json") for path in (store / "objects").rglob("*") if path.is_file()}


def check_exits(findings: Findings, exits: Iterable[str]) -> None:
    """Adds the processes that ended though nothing had ended them."""
    findings.add("ended by themselves", exits)


def check_processes(findings: Findings, started: Sequence[Started]) -> None:
    """Looks for processes that outlived what had started them, and for memory that they shared."""
    for each in started:
        findings.add("orphaned processes", map(str, each.still_alive(_END_SECONDS)))
        findings.add("orphaned shared memory", map(str, each.memory_left()))


def _beside(store: Path) -> set[str]:
    """The names of all that lies beside the artifacts, except for the files of a database of SQLite."""
    return {path.name for path in store.iterdir() if not path.name.startswith("jobs.sqlite")}


def _end(job: JobStatus[Any]) -> tuple[Any, ...]:
    """All that must never change once a job has ended."""
    return job.name, job.state, job.result, job.start_time, job.end_time


def _digest(store: Path, name: str) -> str:
    return hashlib.sha256((store / "objects" / name[:2] / name).read_bytes()).hexdigest()

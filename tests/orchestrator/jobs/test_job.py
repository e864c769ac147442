"""Names of jobs."""

from __future__ import annotations

from orchestrator.jobs.job import JobIds


def test_names_sort_by_the_time_they_were_made() -> None:
    ids = JobIds()
    made = [ids.new() for _ in range(5000)]
    assert made == sorted(set(made))
    assert all(len(name) == len("jobs/") + 32 for name in made)

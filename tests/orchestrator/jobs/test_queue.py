"""Which job starts next: order, numbers by method, memory."""

from __future__ import annotations

import random
from math import inf
from typing import Any

import pytest
from prometheus_client import REGISTRY

from orchestrator.jobs.job import Kind
from orchestrator.jobs.ledger.entry import ClaimableJob
from orchestrator.jobs.queue import JobQueue, RunningJob
from tests.orchestrator.jobs.conftest import Numbers

METHODS = ("EditRegion", "FillRegion", "TrackRegion")


class Jobs:
    """Jobs that wait in the order in which they came, and those that run, by the names they were given."""

    def __init__(self, memory: float = inf, running: int | None = None, **most: int) -> None:
        self.capacity = Numbers(**most)
        self.queue = JobQueue(self.capacity, METHODS, memory=memory, running=running, long=["TrackRegion"])
        self.waiting: list[ClaimableJob] = []
        self.jobs: dict[str, RunningJob] = {}  # that run
        self.queue.watch(self.start)

    @property
    def running(self) -> list[str]:
        return list(self.jobs)

    def add(
        self,
        name: str,
        method: str = "EditRegion",
        memory: int = 0,
        requests: int = 1,
        kind: Kind = Kind.INTERACTIVE,
        interruptions: int = 0,
    ) -> None:
        waiting = ClaimableJob(
            name=name,
            method=method,
            kind=kind,
            memory=memory,
            requests=requests,
            interruptions=interruptions,
            expired=False,
        )
        self.waiting.append(waiting)
        self.start()

    def batch(self, name: str, method: str = "EditRegion", memory: int = 0) -> None:
        self.add(name, method, memory, kind=Kind.BATCH)

    def clip(self, name: str, memory: int = 0) -> None:
        self.batch(name, "TrackRegion", memory)

    def end(self, name: str) -> None:
        """Ends a job, whether it runs or waits."""
        if name in self.jobs:
            self.queue.remove(self.jobs.pop(name))
        else:
            self.waiting = [job for job in self.waiting if job.name != name]
        self.start()

    def shrink(self, name: str, memory: int) -> None:
        self.jobs[name].shrink(memory)
        self.start()

    def start(self) -> None:
        while (name := self.queue.choose(self.waiting)) is not None:
            (job,) = (job for job in self.waiting if job.name == name)
            self.waiting.remove(job)
            self.jobs[name] = RunningJob(
                name, job.method, job.kind, job.memory, job.requests, job.interruptions
            )
            self.queue.add(self.jobs[name])


def test_jobs_start_in_the_order_they_came_as_many_as_the_capacity_allows() -> None:
    jobs = Jobs(EditRegion=2)
    for name in "abcde":
        jobs.add(name)
    assert jobs.running == ["a", "b"] and len(jobs.waiting) == 3
    jobs.end("a")
    assert jobs.running == ["b", "c"]


def test_the_number_of_running_jobs_follows_the_capacity_when_it_changes() -> None:
    jobs = Jobs(EditRegion=1)
    for name in "abcdef":
        jobs.add(name)
    jobs.capacity.jobs["EditRegion"] = 4
    jobs.capacity.changed()
    assert jobs.running == ["a", "b", "c", "d"]
    jobs.capacity.jobs["EditRegion"] = 2
    jobs.capacity.changed()
    jobs.end("a")
    jobs.end("b")
    assert jobs.running == ["c", "d"], "those that run go on, and none starts before they are few enough"
    jobs.end("c")
    assert jobs.running == ["d", "e"]


def test_jobs_of_other_methods_go_past_those_whose_model_is_full() -> None:
    jobs = Jobs(EditRegion=1, FillRegion=2, TrackRegion=1)
    for name, method in enumerate(("EditRegion", "EditRegion", "FillRegion", "TrackRegion", "FillRegion")):
        jobs.add(str(name), method, kind=Kind.BATCH if method == "TrackRegion" else Kind.INTERACTIVE)
    assert jobs.running == ["0", "2", "3", "4"]


def test_a_job_counts_with_all_requests_that_it_has_at_a_time() -> None:
    jobs = Jobs(EditRegion=8)
    for name, requests in (("a", 4), ("b", 3), ("c", 16), ("d", 1)):
        jobs.add(name, requests=requests)
    assert jobs.running == ["a", "b", "c"], "one may go beyond, or a large one would wait for an empty model"
    jobs.end("a")
    jobs.end("b")
    assert jobs.running == ["c"]
    jobs.end("c")
    assert jobs.running == ["d"]


def test_a_set_number_counts_jobs_whatever_requests_they_have() -> None:
    jobs = Jobs(running=3)
    for name in "abcd":
        jobs.add(name, requests=16)
    assert jobs.running == ["a", "b", "c"]


@pytest.mark.parametrize(
    ("running", "clips", "edits"), [(1, 1, 1), (2, 1, 1), (3, 1, 2), (4, 2, 2), (8, 4, 4)]
)
def test_of_a_set_number_of_jobs_at_most_half_are_batch(running: int, clips: int, edits: int) -> None:
    jobs = Jobs(running=running)
    for n in range(10):
        jobs.clip(f"clip {n}")
    for n in range(10):
        jobs.add(f"edit {n}")
    assert sum(name.startswith("clip") for name in jobs.running) == clips
    assert sum(name.startswith("edit") for name in jobs.running) == edits


def test_a_folder_leaves_half_of_the_model_to_others_and_they_leave_it_a_place() -> None:
    jobs = Jobs(EditRegion=8)
    for n in range(10):
        jobs.batch(f"item {n}")
    assert jobs.running == [f"item {n}" for n in range(4)]
    for n in range(10):
        jobs.add(f"edit {n}")
    assert jobs.running[4:] == [f"edit {n}" for n in range(4)]
    others = Jobs(EditRegion=8)
    for n in range(10):
        others.add(f"edit {n}")
    others.batch("item 0")
    others.batch("item 1")
    assert others.running == [*(f"edit {n}" for n in range(8)), "item 0"]


def test_a_model_that_works_for_batch_jobs_only_is_theirs() -> None:
    jobs = Jobs(TrackRegion=3)
    for name in "abcd":
        jobs.clip(name)
    assert jobs.running == ["a", "b", "c"]


def test_nothing_starts_while_its_model_is_not_there() -> None:
    jobs = Jobs(EditRegion=0)
    jobs.add("a")
    jobs.batch("b")
    jobs.add("c", "FillRegion")
    assert jobs.running == ["c"]
    jobs.capacity.jobs["EditRegion"] = 2
    jobs.capacity.changed()
    assert jobs.running == ["c", "a", "b"]


def test_a_job_of_a_method_that_nobody_knows_starts_so_that_it_can_fail() -> None:
    jobs = Jobs()
    jobs.add("a", "PaintRegion")
    assert jobs.running == ["a"]


def test_running_jobs_stay_within_the_memory() -> None:
    jobs = Jobs(memory=100)
    for n, memory in enumerate((40, 40, 20, 1)):
        jobs.add(str(n), memory=memory)
    assert jobs.running == ["0", "1", "2"] and jobs.queue.reserved == 100
    jobs.end("2")
    assert jobs.running == ["0", "1", "3"] and jobs.queue.reserved == 81


def test_a_job_that_needs_more_than_there_is_runs_alone() -> None:
    jobs = Jobs(memory=100)
    jobs.add("small", memory=10)
    jobs.add("huge", memory=1000)
    jobs.add("later", memory=10)
    assert jobs.running == ["small"]
    jobs.end("small")
    assert jobs.running == ["huge"]
    jobs.end("huge")
    assert jobs.running == ["later"]


def test_small_jobs_do_not_keep_a_large_one_waiting() -> None:
    """One small job comes whenever one ends; the large one starts when those before it are done."""
    jobs = Jobs(memory=100)
    for n in range(5):
        jobs.add(f"small {n}", memory=20)
    jobs.add("large", memory=90)
    for n in range(5, 9):
        jobs.add(f"small {n}", "FillRegion" if n % 2 else "EditRegion", memory=20)
        jobs.end(f"small {n - 5}")
        assert f"small {n}" not in jobs.running
    jobs.end("small 4")
    assert jobs.running == ["large"]
    jobs.end("large")
    assert jobs.running == ["small 5", "small 6", "small 7", "small 8"]


def test_clips_leave_half_of_the_memory_to_others() -> None:
    jobs = Jobs(memory=100)
    for n in range(4):
        jobs.clip(f"clip {n}", memory=25)
    jobs.add("edit", memory=50)
    assert jobs.running == ["clip 0", "clip 1", "edit"]
    jobs.end("edit")
    assert jobs.running == ["clip 0", "clip 1"], "what they leave is not for clips"


def test_a_clip_that_needs_more_than_half_still_leaves_half_to_others() -> None:
    jobs = Jobs(memory=100)
    jobs.clip("long and large", memory=500)
    jobs.clip("second", memory=1)
    jobs.add("edit", memory=50)
    assert jobs.running == ["long and large", "edit"]


def test_what_only_clips_could_give_back_is_not_waited_for_by_the_others() -> None:
    jobs = Jobs(memory=100)
    jobs.clip("clip", memory=30)
    jobs.add("huge", memory=95)
    jobs.clip("next clip", memory=10)
    jobs.add("small", memory=10)
    assert jobs.running == ["clip", "small"], "no clip starts, so that there is an end"
    jobs.end("clip")
    jobs.add("later", memory=10)
    assert jobs.running == ["small"], "now it only waits for what ends soon"
    jobs.end("small")
    assert jobs.running == ["huge"]
    jobs.end("huge")
    assert jobs.running == ["next clip", "later"]


def test_memory_that_a_job_no_longer_needs_is_for_the_next() -> None:
    jobs = Jobs(memory=100)
    jobs.add("first", memory=80)
    jobs.add("second", memory=60)
    jobs.shrink("first", 40)
    assert jobs.running == ["first", "second"]
    jobs.shrink("first", 70)
    assert jobs.queue.reserved == 100, "it never needs more than before"


def test_a_job_that_leaves_the_queue_lets_those_behind_it_go() -> None:
    jobs = Jobs(memory=100)
    jobs.add("first", memory=60)
    jobs.add("large", memory=60)
    jobs.add("small", memory=10)
    assert jobs.running == ["first"]
    jobs.end("large")
    assert jobs.running == ["first", "small"]


@pytest.mark.parametrize("seed", range(20))
def test_whatever_comes_everyone_starts_and_memory_is_kept(seed: int) -> None:
    """Jobs of all sizes come and end at random: each is started, and only one that runs alone needs more
    memory than there is."""
    drawn = random.Random(seed)
    jobs = Jobs(memory=100, EditRegion=3, FillRegion=2, TrackRegion=2)
    started: list[str] = []
    came = 0
    while came < 60 or jobs.running:
        if came < 60 and drawn.random() < 0.6:
            method, memory = drawn.choice(METHODS), drawn.choice((1, 5, 20, 60, 95, 300))
            is_batch = method == "TrackRegion" or drawn.random() < 0.2
            jobs.add(str(came), method, memory, kind=Kind.BATCH if is_batch else Kind.INTERACTIVE)
            came += 1
        elif jobs.running:
            jobs.end(drawn.choice(jobs.running))
        started += [name for name in jobs.running if name not in started]
        running = [jobs.jobs[name] for name in jobs.running]
        assert jobs.queue.reserved <= 100 or len(running) == 1
        assert all(
            sum(job.method == method for job in running) <= jobs.capacity.most(method) + 1
            for method in METHODS
        )
    assert sorted(map(int, started)) == list(range(60)), "none was left waiting"


def test_metrics_tell_limits_and_memory() -> None:
    jobs = Jobs(memory=100, running=8, EditRegion=30, FillRegion=3)
    jobs.add("a", memory=60)
    jobs.add("b", memory=60)

    def value(name: str, **labels: Any) -> float | None:
        return REGISTRY.get_sample_value(name, labels)

    assert value("intarsia_jobs", state="running") == 1
    limits = [value("intarsia_jobs_limit", method=method) for method in METHODS]
    assert limits == [8, 3, 8]
    assert value("intarsia_jobs_reserved_bytes") == 60 and value("intarsia_jobs_memory_bytes") == 100


def test_jobs_that_may_end_the_process_run_one_at_a_time_beside_the_others() -> None:
    jobs = Jobs()
    for name, interruptions in (("a", 2), ("b", 5), ("c", 0), ("d", 1), ("e", 2)):
        jobs.add(name, interruptions=interruptions)
    assert jobs.running == ["a", "c", "d"]
    jobs.jobs["a"].interruptions = 0  # it has remembered something
    jobs.start()
    assert jobs.running == ["a", "c", "d", "b"]
    jobs.end("b")
    assert jobs.running == ["a", "c", "d", "e"]

"""Jobs in memory: order, limits, repeats, cancel, time limits, watching, draining."""

from __future__ import annotations

import asyncio
import gc
import time
import weakref
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from math import inf
from typing import Any

import pytest

from intarsia.errors import (
    Busy,
    Cancelled,
    EmptyRegion,
    InternalError,
    InvalidRequest,
    ModelDown,
    NotFound,
    TimeLimit,
)
from orchestrator import logs
from orchestrator.caller import Caller
from orchestrator.jobs.job import Job, JobIds, State
from orchestrator.jobs.memory import JobLimits, MemoryJobs
from orchestrator.jobs.queue import JobQueue
from orchestrator.runs.needs import Needs
from orchestrator.runs.run import Run
from tests.orchestrator.conftest import LOCAL

OTHER = Caller("other")
ID = "7d444840-9dc0-11d1-b245-5ffdce74fad2"


class Fixed:
    """A capacity that can be set."""

    def __init__(self, most: int) -> None:
        self.jobs = most
        self.changed: Callable[[], None] = lambda: None

    def most(self, method: str) -> int:
        return self.jobs

    def watch(self, changed: Callable[[], None]) -> None:
        self.changed = changed


class Work:
    """A recipe that begins, waits to be let go, and answers its request."""

    def __init__(self) -> None:
        self.begun: asyncio.Queue[Any] = asyncio.Queue()
        self.let_go = asyncio.Event()
        self.stopped: list[Any] = []

    async def __call__(self, request: Any, run: Run) -> Any:
        self.begun.put_nowait(request)
        try:
            with run.stage("denoise"):
                await self.let_go.wait()
        except asyncio.CancelledError:
            self.stopped.append(request)
            raise
        return request


Recipe = Callable[[Any, Run], Awaitable[Any]]
Driver = Callable[..., MemoryJobs]


@pytest.fixture
async def driver() -> AsyncIterator[Driver]:
    """Makes drivers, and sees that nothing of theirs outlives the test."""
    made = []

    def make(recipe: Recipe, running: Fixed | int = 4, memory: float = inf, **limits: Any) -> MemoryJobs:
        recipes = {"EditRegion": recipe, "TrackRegion": recipe}
        capacity = Fixed(running) if isinstance(running, int) else running
        queue = JobQueue(capacity, recipes, memory=memory)
        made.append(MemoryJobs(recipes, replace(JobLimits(), **limits), queue))
        return made[-1]

    yield make
    for jobs in made:
        await jobs.drain(0)


async def last(jobs: MemoryJobs, name: str) -> Job:
    *_, final = [job async for job in jobs.watch(LOCAL, name)]
    return final


async def test_a_job_goes_from_its_queue_to_its_result(driver: Driver) -> None:
    work = Work()
    jobs = driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    assert job.name.startswith("jobs/") and job.state is State.RUNNING
    await work.begun.get()
    work.let_go.set()
    done = await last(jobs, job.name)
    assert done.state is State.SUCCEEDED and done.result == "request"
    assert done.progress.fraction == 1.0 and done.progress.remaining == 0.0
    assert done.started is not None and done.ended is not None
    assert done.created <= done.started <= done.ended


async def test_only_so_many_run_and_the_others_keep_their_order(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=2)
    names = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(5)]
    states = [(await jobs.get(LOCAL, name)).state for name in names]
    assert states == [State.RUNNING] * 2 + [State.QUEUED] * 3
    work.let_go.set()
    for name in names:
        await last(jobs, name)
    assert [work.begun.get_nowait() for _ in range(5)] == [0, 1, 2, 3, 4]


async def states(jobs: MemoryJobs, names: list[str]) -> list[State]:
    return [(await jobs.get(LOCAL, name)).state for name in names]


async def test_more_run_when_the_capacity_grows_and_none_is_stopped_when_it_falls(driver: Driver) -> None:
    work, capacity = Work(), Fixed(1)
    jobs = driver(work, running=capacity)
    names = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(4)]
    capacity.jobs = 3
    capacity.changed()
    assert await states(jobs, names) == [State.RUNNING] * 3 + [State.QUEUED]
    capacity.jobs = 1
    capacity.changed()
    assert await states(jobs, names) == [State.RUNNING] * 3 + [State.QUEUED]
    for name in names[:2]:
        await jobs.cancel(LOCAL, name)
        await last(jobs, name)
    assert await states(jobs, names[2:]) == [State.RUNNING, State.QUEUED]
    work.let_go.set()
    assert (await last(jobs, names[3])).state is State.SUCCEEDED


async def test_jobs_wait_for_memory_until_others_end_or_need_less(driver: Driver) -> None:
    runs, let_go = asyncio.Queue[Run](), asyncio.Event()

    async def holds(request: Any, run: Run) -> Any:
        runs.put_nowait(run)
        await let_go.wait()

    jobs = driver(holds, memory=100)
    names = [(await jobs.submit(LOCAL, "EditRegion", n, needs=Needs(60))).name for n in range(3)]
    assert await states(jobs, names) == [State.RUNNING, State.QUEUED, State.QUEUED]
    (await runs.get()).shrink(40)
    assert await states(jobs, names) == [State.RUNNING, State.RUNNING, State.QUEUED]
    await jobs.cancel(LOCAL, names[1])
    await last(jobs, names[1])
    assert await states(jobs, names) == [State.RUNNING, State.CANCELLED, State.RUNNING]
    let_go.set()
    assert (await last(jobs, names[2])).state is State.SUCCEEDED


async def test_a_cancelled_job_lets_those_go_that_waited_behind_it(driver: Driver) -> None:
    jobs = driver(Work(), memory=100)
    sizes = (60, 90, 10)
    names = [(await jobs.submit(LOCAL, "EditRegion", size, needs=Needs(size))).name for size in sizes]
    assert await states(jobs, names) == [State.RUNNING, State.QUEUED, State.QUEUED]
    await jobs.cancel(LOCAL, names[1])
    assert await states(jobs, names) == [State.RUNNING, State.CANCELLED, State.RUNNING]


@pytest.mark.parametrize("grace", [0, 5])
async def test_jobs_that_wait_for_memory_are_drained_too(driver: Driver, grace: float) -> None:
    work = Work()
    if grace:
        work.let_go.set()
    jobs = driver(work, memory=100)
    names = [
        (await jobs.submit(LOCAL, "EditRegion", n, needs=Needs(memory))).name
        for n, memory in enumerate((60, 500, 70))
    ]
    assert await jobs.drain(grace) is bool(grace)
    end = State.SUCCEEDED if grace else State.FAILED
    assert await states(jobs, names) == [end] * 3


async def test_beyond_its_limit_the_server_is_busy(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1, waiting=2)
    for n in range(3):
        await jobs.submit(LOCAL, "EditRegion", n)
    with pytest.raises(Busy, match="2 jobs are waiting already"):
        await jobs.submit(LOCAL, "EditRegion", 3)


async def test_a_repeated_request_id_gives_the_same_job(driver: Driver) -> None:
    jobs = driver(Work())
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    again = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    assert again.name == first.name
    with pytest.raises(InvalidRequest) as caught:
        await jobs.submit(LOCAL, "EditRegion", "another", request_id=ID)
    assert caught.value.field == "request_id"


async def test_a_repeat_is_known_by_what_was_sent_and_not_by_what_it_was_resolved_to(driver: Driver) -> None:
    jobs = driver(Work())
    assert await jobs.repeated(LOCAL, "EditRegion", "sent", request_id=ID) is None
    first = await jobs.submit(LOCAL, "EditRegion", "sent, with seed 5", original="sent", request_id=ID)
    again = await jobs.submit(LOCAL, "EditRegion", "sent, with seed 7", original="sent", request_id=ID)
    found = await jobs.repeated(LOCAL, "EditRegion", "sent", request_id=ID)
    assert found is not None and found.name == again.name == first.name
    for method, original, time_limit in (
        ("EditRegion", "another", None),
        ("TrackRegion", "sent", None),
        ("EditRegion", "sent", 5.0),
    ):
        with pytest.raises(InvalidRequest) as caught:
            await jobs.repeated(LOCAL, method, original, request_id=ID, time_limit=time_limit)
        assert caught.value.field == "request_id"


async def test_request_ids_of_two_callers_do_not_meet(driver: Driver) -> None:
    jobs = driver(Work())
    mine = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    theirs = await jobs.submit(OTHER, "EditRegion", "another", request_id=ID)
    assert theirs.name != mine.name
    for caller, request, job in ((LOCAL, "request", mine), (OTHER, "another", theirs)):
        again = await jobs.submit(caller, "EditRegion", request, request_id=ID)
        found = await jobs.repeated(caller, "EditRegion", request, request_id=ID)
        assert found is not None and again.name == found.name == job.name


async def test_a_job_is_found_by_its_own_caller_only(driver: Driver) -> None:
    work = Work()
    jobs = driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    theirs = await jobs.submit(OTHER, "EditRegion", "another")
    for find in (jobs.get, jobs.cancel):
        with pytest.raises(NotFound, match="there is no job"):
            await find(OTHER, job.name)
    with pytest.raises(NotFound):
        await anext(jobs.watch(OTHER, job.name))
    assert (await jobs.get(LOCAL, job.name)).state is State.RUNNING
    assert [one.name for one in (await jobs.list(LOCAL, size=10)).jobs] == [job.name]
    assert [one.name for one in (await jobs.list(OTHER, size=10)).jobs] == [theirs.name]
    assert (await jobs.list(Caller("third"), size=10)).jobs == ()


async def test_a_forgotten_job_frees_the_request_id_of_its_own_caller(driver: Driver) -> None:
    work = Work()
    work.let_go.set()
    jobs = driver(work, kept_seconds=0)
    job = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    await last(jobs, job.name)
    work.let_go.clear()
    theirs = await jobs.submit(OTHER, "EditRegion", "request", request_id=ID)
    assert (await jobs.list(LOCAL, size=10)).jobs == ()
    assert (await jobs.submit(LOCAL, "EditRegion", "new", request_id=ID)).name not in (job.name, theirs.name)
    assert (await jobs.submit(OTHER, "EditRegion", "request", request_id=ID)).name == theirs.name


async def test_a_repeat_is_answered_even_when_nothing_new_is_taken(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1, waiting=1)
    first = await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)
    await jobs.submit(LOCAL, "EditRegion", "other")
    assert (await jobs.submit(LOCAL, "EditRegion", "request", request_id=ID)).name == first.name


async def test_cancel_reaches_the_work_and_frees_the_place(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    first = await jobs.submit(LOCAL, "EditRegion", "first")
    second = await jobs.submit(LOCAL, "EditRegion", "second")
    await work.begun.get()
    await jobs.cancel(LOCAL, first.name)
    cancelled = await last(jobs, first.name)
    assert cancelled.state is State.CANCELLED and isinstance(cancelled.failure, Cancelled)
    assert work.stopped == ["first"]
    assert await work.begun.get() == "second"
    assert (await jobs.get(LOCAL, second.name)).state is State.RUNNING


async def test_a_waiting_job_is_cancelled_at_once_and_never_begins(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    await jobs.submit(LOCAL, "EditRegion", "first")
    waiting = await jobs.submit(LOCAL, "EditRegion", "second")
    assert (await jobs.cancel(LOCAL, waiting.name)).state is State.CANCELLED
    work.let_go.set()
    await jobs.drain(5)
    assert work.begun.qsize() == 1


async def test_a_job_cancelled_before_its_work_began_has_an_end(driver: Driver) -> None:
    work = Work()
    jobs = driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).state is State.CANCELLED
    assert work.begun.empty()


async def test_cancelling_a_finished_job_changes_nothing(driver: Driver) -> None:
    work = Work()
    work.let_go.set()
    jobs = driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await last(jobs, job.name)
    assert (await jobs.cancel(LOCAL, job.name)).state is State.SUCCEEDED


async def test_a_job_whose_work_ignores_a_cancel_but_fails_is_still_cancelled(driver: Driver) -> None:
    begun = asyncio.Event()

    async def stubborn(request: Any, run: Run) -> Any:
        begun.set()
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            raise ModelDown("the stream broke") from None

    jobs = driver(stubborn)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await begun.wait()
    await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).state is State.CANCELLED


@pytest.mark.parametrize("running", [1, 2])
async def test_time_runs_out_for_running_and_for_waiting_jobs(driver: Driver, running: int) -> None:
    jobs = driver(Work(), running=running)
    await jobs.submit(LOCAL, "EditRegion", "first")
    job = await jobs.submit(LOCAL, "EditRegion", "second", time_limit=0.05)
    failed = await last(jobs, job.name)
    assert failed.state is State.FAILED and isinstance(failed.failure, TimeLimit)
    assert "0.05 s" in failed.failure.message


async def test_no_job_may_take_longer_than_the_server_allows(driver: Driver) -> None:
    jobs = driver(Work(), time_limit=0.05)
    job = await jobs.submit(LOCAL, "EditRegion", "request", time_limit=1000)
    assert isinstance((await last(jobs, job.name)).failure, TimeLimit)


async def test_an_error_of_the_work_is_the_failure_of_the_job(driver: Driver) -> None:
    async def fails(request: Any, run: Run) -> Any:
        raise EmptyRegion("nothing was found", best_score=0.2)

    jobs = driver(fails)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    failed = await last(jobs, job.name)
    assert failed.state is State.FAILED and isinstance(failed.failure, EmptyRegion)
    assert failed.failure.facts == {"best_score": "0.2"}


async def test_a_fault_goes_to_the_log_and_its_number_to_the_client(
    driver: Driver, caplog: pytest.LogCaptureFixture
) -> None:
    async def faulty(request: Any, run: Run) -> Any:
        raise ZeroDivisionError("secret detail")

    jobs = driver(faulty)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    failure = (await last(jobs, job.name)).failure
    assert isinstance(failure, InternalError)
    assert "secret" not in failure.message
    assert any(failure.facts["fault"] in line and "secret detail" in line for line in caplog.messages)


@pytest.mark.parametrize("how", ["fails", "is cancelled", "runs out of time"])
async def test_an_ended_job_holds_nothing_its_work_held(driver: Driver, how: str) -> None:
    class Pixels:
        pass

    held: list[weakref.ref[Pixels]] = []
    begun = asyncio.Event()

    async def work(request: Any, run: Run) -> Any:
        pixels = Pixels()
        held.append(weakref.ref(pixels))
        begun.set()
        try:
            if how == "fails":
                raise KeyError(pixels)
            await asyncio.Event().wait()
        except KeyError as error:
            raise EmptyRegion("nothing was found") from error

    jobs = driver(work)
    job = await jobs.submit(
        LOCAL, "EditRegion", "request", time_limit=0.05 if how == "runs out of time" else None
    )
    await begun.wait()
    if how == "is cancelled":
        await jobs.cancel(LOCAL, job.name)
    assert (await last(jobs, job.name)).failure is not None
    gc.collect()
    assert held[0]() is None


async def test_every_line_of_the_log_knows_its_job(driver: Driver) -> None:
    seen = []

    async def notes(request: Any, run: Run) -> Any:
        seen.append(logs.job.get())

    jobs = driver(notes)
    names = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(3)]
    for name in names:
        await last(jobs, name)
    assert seen == names and logs.job.get() == ""


async def test_watchers_hear_the_state_now_and_the_end_at_once(driver: Driver) -> None:
    work = Work()
    jobs = driver(work)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    await work.begun.get()
    watching = jobs.watch(LOCAL, job.name)
    assert (await anext(watching)).state is State.RUNNING
    work.let_go.set()
    assert (await anext(watching)).state is State.SUCCEEDED
    assert [later async for later in watching] == []


async def test_many_changes_are_reported_together(driver: Driver) -> None:
    finish = asyncio.Event()

    async def quick_steps(request: Any, run: Run) -> Any:
        with run.stage("denoise") as work:
            for step in range(1000):
                work.stepped(step + 1, 1000)
                await asyncio.sleep(0)
        await finish.wait()

    jobs = driver(quick_steps)
    job = await jobs.submit(LOCAL, "EditRegion", "request")
    began = time.monotonic()
    heard = []
    async for state in jobs.watch(LOCAL, job.name):
        heard.append(state.progress)
        if state.progress.step == 1000:
            finish.set()
    fractions = [progress.fraction for progress in heard]
    assert fractions == sorted(fractions) and fractions[-1] == 1.0
    assert len(heard) <= 10 * (time.monotonic() - began) + 2


async def test_lists_are_newest_first_and_come_in_pages(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    names = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(7)]
    newest_first = names[::-1]
    first = await jobs.list(LOCAL, size=3)
    assert [job.name for job in first.jobs] == newest_first[:3]
    later = (await jobs.submit(LOCAL, "EditRegion", 7)).name
    second = await jobs.list(LOCAL, size=3, token=first.next_token)
    third = await jobs.list(LOCAL, size=3, token=second.next_token)
    assert [job.name for job in second.jobs + third.jobs] == newest_first[3:]
    assert third.next_token == ""
    queued = await jobs.list(LOCAL, size=100, states=(State.QUEUED,))
    assert [job.name for job in queued.jobs] == [later, *newest_first[:-1]]


async def test_tokens_of_other_lists_are_refused(driver: Driver) -> None:
    jobs = driver(Work(), running=1)
    for n in range(3):
        await jobs.submit(LOCAL, "EditRegion", n)
    token = (await jobs.list(LOCAL, size=1)).next_token
    for bad, states in ((token, (State.QUEUED,)), ("nonsense", ()), ("bm9uc2Vuc2U=", ()), ("é", ())):
        with pytest.raises(InvalidRequest) as caught:
            await jobs.list(LOCAL, size=1, token=bad, states=states)
        assert caught.value.field == "page_token"


async def test_finished_jobs_are_kept_up_to_a_number_and_an_age(driver: Driver) -> None:
    work = Work()
    work.let_go.set()
    jobs = driver(work, kept=2, fetched_within=0)
    names = []
    for n in range(4):
        names.append((await jobs.submit(LOCAL, "EditRegion", n, request_id=f"id {n}")).name)
        await last(jobs, names[-1])
    assert [job.name for job in (await jobs.list(LOCAL, size=10)).jobs] == [names[3], names[2]]
    with pytest.raises(NotFound, match="finished jobs are forgotten"):
        await jobs.get(LOCAL, names[0])
    assert (await jobs.submit(LOCAL, "EditRegion", 0, request_id="id 0")).name not in names

    brief = driver(work, kept_seconds=0)
    job = await brief.submit(LOCAL, "EditRegion", "request")
    await last(brief, job.name)
    assert (await brief.list(LOCAL, size=10)).jobs == ()


async def test_a_job_is_remembered_by_when_it_ended_and_for_a_while_in_any_case(driver: Driver) -> None:
    let_go = {"long": asyncio.Event(), "short": asyncio.Event(), "another": asyncio.Event()}

    async def work(request: Any, run: Run) -> Any:
        await let_go[request].wait()

    for fetched_within, forgotten in ((0, {"short"}), (300, set())):
        for event in let_go.values():
            event.clear()
        jobs = driver(work, kept=2, fetched_within=fetched_within)
        names = {request: (await jobs.submit(LOCAL, "EditRegion", request)).name for request in let_go}
        for request in ("short", "another", "long"):
            let_go[request].set()
            await last(jobs, names[request])
        known = {job.name for job in (await jobs.list(LOCAL, size=10)).jobs}
        assert {request for request, name in names.items() if name not in known} == forgotten


async def test_a_drained_driver_finishes_what_it_has_and_takes_nothing_new(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    names = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(2)]
    await work.begun.get()
    draining = asyncio.ensure_future(jobs.drain(30))
    await asyncio.sleep(0)
    with pytest.raises(ModelDown, match="shutting down"):
        await jobs.submit(LOCAL, "EditRegion", "late")
    work.let_go.set()
    assert await draining
    assert [(await jobs.get(LOCAL, name)).state for name in names] == [State.SUCCEEDED] * 2


async def test_a_job_that_cannot_finish_in_time_fails_with_the_reason(driver: Driver) -> None:
    work = Work()
    jobs = driver(work, running=1)
    running, waiting = [(await jobs.submit(LOCAL, "EditRegion", n)).name for n in range(2)]
    await work.begun.get()
    assert not await jobs.drain(0.05)
    for name in (running, waiting):
        job = await jobs.get(LOCAL, name)
        assert job.state is State.FAILED and isinstance(job.failure, ModelDown)
        assert "shut down" in job.failure.message


def test_names_sort_by_the_time_they_were_made() -> None:
    ids = JobIds()
    made = [ids.new() for _ in range(5000)]
    assert made == sorted(set(made))
    assert all(len(name) == len("jobs/") + 32 for name in made)

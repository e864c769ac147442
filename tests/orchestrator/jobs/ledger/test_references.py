"""What jobs refer to, on both databases."""

import asyncio

import pytest

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger.database import BadDatabase
from orchestrator.jobs.ledger.entry import Reference, ReferenceKind, Wish
from orchestrator.jobs.ledger.references import EndedJob, References
from tests.orchestrator.jobs.ledger.conftest import claim, job

DAY = 86400.0


@pytest.fixture
def references(database):
    return References(database)


def intermediate(name):
    return Reference(name, ReferenceKind.INTERMEDIATE)


async def ended(ledger, state=State.SUCCEEDED, inputs=("in",), results=("out",)):
    """The name of a job that made a preview and an intermediate, and has ended."""
    new = job(inputs=inputs)
    await ledger.submit(new)
    hold, _ = await claim(ledger, new.name)
    await ledger.report(hold, "{}", references=[Reference("preview", ReferenceKind.PREVIEW)])
    await ledger.remember(hold, "stage", '"middle"', [intermediate("middle")])
    references = [Reference(name, ReferenceKind.RESULT) for name in results]
    await ledger.end(hold, state, spent=1, references=references)
    return new.name


async def test_the_store_that_jobs_belong_to_is_remembered(references):
    await asyncio.gather(*(references.bind("one") for _ in range(3)))
    await references.bind("one")
    with pytest.raises(BadDatabase, match="store one, and INTARSIA_ARTIFACTS is the store other"):
        await references.bind("other")


async def test_what_jobs_refer_to_is_needed_and_says_by_which(ledger, references, clock):
    new = job(inputs=("in", "both"))
    await ledger.submit(new)
    done = await ended(ledger, inputs=("both",))
    names = ["in", "both", "out", "middle", "preview", "nobody's"]
    needed = await references.needed(names)
    assert needed == {"in": new.name, "both": new.name, **dict.fromkeys(["out", "middle", "preview"], done)}
    assert await references.needed_by_unfinished(names) == {"in": new.name, "both": new.name}
    await ledger.want("me", new.name, Wish.PAUSE)
    assert await references.needed_by_unfinished(["in", "out"]) == {"in": new.name}
    assert await references.needed([]) == {}


async def test_the_oldest_start_is_that_of_the_jobs_that_run(ledger, references, clock):
    assert await references.oldest_start() is None
    holds = []
    for _ in range(2):
        new = job()
        await ledger.submit(new)
        holds.append((await claim(ledger, new.name, lease=1e9))[0])
        clock.move(10)
    assert await references.oldest_start() == pytest.approx(clock() - 20)
    await ledger.end(holds[0], State.FAILED, spent=1)
    assert await references.oldest_start() == pytest.approx(clock() - 10)


async def test_ended_jobs_let_go_of_what_they_needed_while_they_ran(ledger, references, clock):
    done, failed = await ended(ledger), await ended(ledger, State.FAILED)
    running = job()
    await ledger.submit(running)
    hold, _ = await claim(ledger, running.name, lease=1e9)
    await ledger.remember(hold, "stage", "1", [intermediate("its own")])
    assert await references.release(ReferenceKind.PREVIEW, 5, size=9) == ()
    clock.move(10)
    assert await references.release(ReferenceKind.PREVIEW, 5, size=9) == ("preview", "preview")
    assert await references.release(ReferenceKind.INTERMEDIATE, 5, size=9) == ("middle",)
    for kind in (ReferenceKind.PREVIEW, ReferenceKind.INTERMEDIATE):
        assert await references.release(kind, 5, size=9) == ()
    assert await ledger.memory(done) == {}
    assert await ledger.memory(failed) == {"stage": '"middle"'} != await ledger.memory(running.name)
    needed = await references.needed(["in", "out", "middle", "preview", "its own"])
    assert needed == {"in": done, "out": done, "middle": failed, "its own": running.name}


async def test_jobs_let_go_a_few_at_a_time(ledger, references, clock):
    for _ in range(3):
        await ended(ledger)
    clock.move(10)
    counts = [len(await references.release(ReferenceKind.PREVIEW, 5, size=2)) for _ in range(3)]
    assert counts == [2, 1, 0]


async def test_ended_jobs_are_listed_from_the_oldest_on_and_removed_with_all_they_had(
    ledger, references, clock
):
    names = []
    for state in (State.SUCCEEDED, State.CANCELLED, State.SUCCEEDED):
        names.append(await ended(ledger, state, results=("out",) if state is State.SUCCEEDED else ()))
        clock.move(DAY)
    first, second = await references.ended(1.5 * DAY, behind=None, size=9)
    assert [first.name, second.name] == names[:2]
    assert (first.results, second.results) == (("out",), ())
    assert first.age == pytest.approx(3 * DAY) and second.age == pytest.approx(2 * DAY)
    assert await references.ended(1.5 * DAY, behind=None, size=1) == [first]
    assert await references.ended(1.5 * DAY, behind=first, size=1) == [second]
    assert await references.ended(1.5 * DAY, behind=second, size=1) == []
    assert await references.remove(first) and not await references.remove(first)
    assert await references.needed(["in"]) == {"in": names[1]}
    assert await ledger.memory(names[0]) == {}
    assert [entry.name for entry in await ledger.list("me")] == [names[2], names[1]]


async def test_a_job_that_is_tried_again_is_not_removed(ledger, references, clock):
    name = await ended(ledger, State.FAILED)
    clock.move(DAY)
    (found,) = await references.ended(1, behind=None, size=9)
    await ledger.retry("me", name)
    assert not await references.remove(found)
    hold, _ = await claim(ledger, name)
    await ledger.end(hold, State.FAILED, spent=1)
    assert not await references.remove(found)  # it has ended once more since
    assert await references.needed(["in"]) == {"in": name}
    (again,) = await references.ended(-1, behind=None, size=9)
    assert isinstance(again, EndedJob) and await references.remove(again)

"""The ledger against a model of it: owners that freeze and come back, leases, wishes, clocks that jump.

Owners hold on to every hold that they ever had, and write with it when they like. Only the writes of the one
that has the job may count.
"""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from math import floor
from typing import Any, TypeVar

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from sqlalchemy import Connection, delete, select, update

from orchestrator.jobs.job import State
from orchestrator.jobs.ledger import claims, rows, tables
from orchestrator.jobs.ledger.database import Database
from orchestrator.jobs.ledger.entry import ClaimableJob, Entry, Hold, Lost, Wish
from orchestrator.jobs.ledger.ledger import Ledger
from tests.orchestrator.jobs.ledger.clock import Clock
from tests.orchestrator.jobs.ledger.conftest import claim, job

T = TypeVar("T")

EXAMPLES = 8
OWNERS = "ab"
LEASE = 15
MOST = 4  # jobs that wait: few, so that each is claimed again and again
ENDS = (State.SUCCEEDED, State.FAILED, State.CANCELLED)
CANCELS = (Wish.CANCEL, Wish.KEEP_PARTIAL)

numbers = st.integers(0, 5)  # choose one of what is there


@dataclass
class Record:
    """What is expected of a job."""

    name: str
    caller: str
    priority: int
    rank: float
    state: State = State.QUEUED
    holder: Hold | None = None  # the last one
    lease: float = 0.0
    wanted: Wish = Wish.NOTHING
    attempt: int = 0
    interruptions: int = 0
    memory: dict[str, str] = field(default_factory=dict)
    ended_by: Hold | None = None  # since it was submitted or retried last


class LedgerModel(RuleBasedStateMachine):
    """Does the same to a ledger and to records, and compares them."""

    def __init__(self, loop: asyncio.AbstractEventLoop, database: Database, clock: Clock) -> None:
        super().__init__()
        self.loop, self.database, self.clock = loop, database, clock
        self.ledger = Ledger(database)
        self.records: dict[str, Record] = {}
        self.holds: list[Hold] = []

        def empty(connection: Any) -> None:
            connection.execute(delete(tables.jobs))
            connection.execute(update(tables.waiting).values(jobs=0))

        self.run(database.run(empty))

    def run(self, work: Coroutine[Any, Any, T]) -> T:
        return self.loop.run_until_complete(work)

    @rule(seconds=st.sampled_from([1, 5, 14, 16, 300, 601, -1, -20, -1000]))
    def time_passes_or_jumps(self, seconds: int) -> None:
        self.clock.move(seconds)

    @precondition(lambda self: len(self.waiting()) < MOST)
    @rule(caller=st.sampled_from("xy"), priority=st.integers(-1, 2))
    def submit(self, caller: str, priority: int) -> None:
        new = job(caller, priority=priority)
        self.run(self.ledger.submit(new))
        self.records[new.name] = Record(new.name, caller, priority, self.clock() - 600 * priority)

    @rule(owner=st.sampled_from(OWNERS), choice=st.one_of(st.just(0), numbers))
    def claim(self, owner: str, choice: int) -> None:
        expected = self.claimable()
        seen: list[ClaimableJob] = []

        def choose(jobs: Any) -> str | None:
            seen.extend(jobs)
            return jobs[choice % len(jobs)].name

        taken = self.run(self.ledger.claim(owner, LEASE, choose))
        assert [one.name for one in seen] == [one.name for one in expected]
        assert [one.expired for one in seen] == [one.state is State.RUNNING for one in expected]
        if not expected:
            assert taken is None
            return
        record = expected[choice % len(expected)]
        assert taken is not None
        record.attempt += 1
        record.interruptions += record.state is State.RUNNING
        assert taken[0] == Hold(record.name, owner, record.attempt)
        assert taken[1].wanted is record.wanted
        record.state, record.holder, record.lease = State.RUNNING, taken[0], self.clock() + LEASE
        for earlier in [hold for hold in self.holds if hold.name == record.name][-1:]:
            self.counts_for_nothing(earlier)
        self.holds.append(taken[0])

    @precondition(lambda self: self.holds)
    @rule(owner=st.sampled_from(OWNERS), which=st.one_of(st.none(), numbers))
    def renew(self, owner: str, which: int | None) -> None:
        """All that an owner believes to hold, or one of them."""
        believed = [hold for hold in self.holds if hold.owner == owner]
        if believed and which is not None:
            believed = [believed[-1 - which % len(believed)]]
        expected = {hold: self.records[hold.name].wanted for hold in believed if self.has(hold)}
        assert self.run(self.ledger.renew(believed, LEASE)) == expected
        for hold in expected:
            self.records[hold.name].lease = self.clock() + LEASE

    @precondition(lambda self: self.holds)
    @rule(which=numbers, key=st.sampled_from("kl"), value=st.sampled_from("12"))
    def remember(self, which: int, key: str, value: str) -> None:
        hold = self.recent(which)
        with self.counts_only_if_held(hold) as record:
            self.run(self.ledger.remember(hold, key, value))
            record.memory[key], record.interruptions = value, 0

    @precondition(lambda self: self.holds)
    @rule(which=numbers, key=st.sampled_from("kl"))
    def forget(self, which: int, key: str) -> None:
        hold = self.recent(which)
        with self.counts_only_if_held(hold) as record:
            self.run(self.ledger.forget(hold, key))
            record.memory.pop(key, None)

    @precondition(lambda self: self.holds)
    @rule(which=numbers)
    def report(self, which: int) -> None:
        hold = self.recent(which)
        with self.counts_only_if_held(hold) as record:
            assert self.run(self.ledger.report(hold, "{}")) is record.wanted

    @precondition(lambda self: self.holds)
    @rule(which=numbers, state=st.sampled_from(ENDS))
    def end(self, which: int, state: State) -> None:
        hold = self.recent(which)
        record = self.records[hold.name]
        if record.ended_by == hold and record.state is state:
            self.run(self.ledger.end(hold, state, spent=1.0))  # the same end, once more
            return
        with self.counts_only_if_held(hold):
            self.run(self.ledger.end(hold, state, spent=1.0))
            record.state, record.ended_by = state, hold

    @precondition(lambda self: self.holds)
    @rule(which=numbers, state=st.sampled_from([State.QUEUED, State.PAUSED]))
    def hand_back(self, which: int, state: State) -> None:
        hold = self.recent(which)
        with self.counts_only_if_held(hold) as record:
            self.run(self.ledger.hand_back(hold, spent=1.0, state=state))
            self.release(record, state)

    @precondition(lambda self: self.holds)
    @rule(which=numbers)
    def give_it_back_and_claim_it_again(self, which: int) -> None:
        """The same owner then has two holds on one job."""
        hold = self.recent(which)
        if self.has(hold):
            self.hand_back(which, State.QUEUED)
            names = [one.name for one in self.claimable()]
            if hold.name in names:
                self.claim(hold.owner, names.index(hold.name))

    @precondition(lambda self: self.records)
    @rule(which=numbers, wish=st.sampled_from([Wish.PAUSE, *CANCELS]))
    def want(self, which: int, wish: Wish) -> None:
        record = self.chosen(which)
        self.run(self.ledger.want(record.caller, record.name, wish))
        if record.state is State.RUNNING:
            if wish is not Wish.PAUSE or record.wanted is Wish.NOTHING:
                record.wanted = wish
        elif record.state in (State.QUEUED, State.PAUSED):
            if wish is Wish.PAUSE:
                record.state = State.QUEUED if record.wanted in CANCELS else State.PAUSED
            elif wish is Wish.KEEP_PARTIAL and record.attempt:
                record.state, record.wanted = State.QUEUED, wish
            else:
                record.state = State.CANCELLED

    @precondition(lambda self: self.records)
    @rule(which=numbers)
    def resume(self, which: int) -> None:
        record = self.chosen(which)
        self.run(self.ledger.resume(record.caller, record.name))
        if record.state is State.PAUSED:
            record.state, record.rank = State.QUEUED, self.clock() - 600 * record.priority
        elif record.state is State.RUNNING and record.wanted is Wish.PAUSE:
            record.wanted = Wish.NOTHING

    @precondition(lambda self: self.records)
    @rule(which=numbers)
    def retry(self, which: int) -> None:
        record = self.chosen(which)
        self.run(self.ledger.retry(record.caller, record.name))
        if record.state in (State.FAILED, State.CANCELLED):
            record.state, record.rank = State.QUEUED, self.clock() - 600 * record.priority
            record.wanted, record.ended_by, record.interruptions = Wish.NOTHING, None, 0

    @rule(owner=st.sampled_from(OWNERS))
    def a_process_that_died_is_replaced(self, owner: str) -> None:
        left = [one for one in self.records.values() if one.holder and one.holder.owner == owner]
        running = [one for one in left if one.state is State.RUNNING]
        assert set(self.run(self.ledger.take_back_all(owner))) == {one.name for one in running}
        for record in running:
            self.release(record, State.QUEUED)
            record.interruptions += 1

    @invariant()
    def the_ledger_is_what_the_model_says(self) -> None:
        for caller in "xy":
            expected = [one for one in self.records.values() if one.caller == caller]
            found = self.run(self.ledger.list(caller, size=1000))
            assert [one.name for one in found] == [one.name for one in reversed(expected)]
            for entry, record in zip(reversed(found), expected, strict=True):
                assert (entry.state, entry.attempt, entry.interruptions, entry.wanted) == (
                    record.state, record.attempt, record.interruptions, record.wanted)  # fmt: skip
                assert (entry.ended is not None) == record.state.is_final
        assert self.run(self.ledger.waiting()) == len(self.waiting())

    @invariant()
    def leases_are_what_the_model_says(self) -> None:
        expected = {one.name: one.lease for one in self.records.values() if one.state is State.RUNNING}
        if not self.database.is_shared:
            expected = dict.fromkeys(expected)
        assert self.leases() == expected

    @precondition(lambda self: self.holds)
    @invariant()
    def the_last_job_remembers(self) -> None:
        record = self.records[self.holds[-1].name]
        assert self.run(self.ledger.memory(record.name)) == record.memory

    def teardown(self) -> None:
        """Every job ends, when owners claim and end jobs as they should."""
        for which in range(len(self.records)):
            self.resume(which)
        self.clock.move(10_000)  # all leases run out
        if not self.database.is_shared:
            self.run(self.ledger.take_back_all())
        order: dict[tuple[str, int], list[float]] = {}
        while (taken := self.run(self.ledger.claim("last", 10_000, lambda jobs: jobs[0].name))) is not None:
            hold, entry = taken
            order.setdefault((entry.caller, entry.priority), []).append(self.records[entry.name].rank)
            state = State.CANCELLED if entry.wanted in CANCELS else State.SUCCEEDED
            self.run(self.ledger.end(hold, state, spent=1.0))
        for caller in "xy":
            assert all(one.state.is_final for one in self.run(self.ledger.list(caller, size=1000)))
        assert all(ranks == sorted(ranks) for ranks in order.values())
        self.one_job_is_lost_in_every_way()

    def one_job_is_lost_in_every_way(self) -> None:
        """Whatever the rules have come upon, none of these holds counts once it is lost."""
        new = job("x")
        self.run(self.ledger.submit(new))
        handed_back, _ = self.claimed(new.name, "a")
        self.run(self.ledger.hand_back(handed_back, spent=1.0))
        expired, _ = self.claimed(new.name, "b")
        self.counts_for_nothing(handed_back)
        assert not self.may_be_taken(new.name)
        if self.database.is_shared:
            self.clock.move(LEASE + 1)
        else:
            self.run(self.ledger.take_back_all("b"))
        forgotten, entry = self.claimed(new.name, "a")
        assert entry.interruptions == 1
        self.counts_for_nothing(handed_back)  # though its owner has the job again
        self.run(self.ledger.remember(forgotten, "k", "1"))
        assert self.run(self.ledger.get("x", new.name)).interruptions == 0
        self.forget_claim(forgotten)
        last, _ = self.claimed(new.name, "b")
        self.counts_for_nothing(forgotten)  # though the attempt has the same number
        self.counts_for_nothing(expired)  # though it has the same owner
        assert self.run(self.ledger.renew([last], LEASE)) == {last: Wish.NOTHING}
        assert self.leases()[new.name] == (self.clock() + LEASE if self.database.is_shared else None)
        self.run(self.ledger.end(last, State.SUCCEEDED, spent=1.0))
        for hold in (handed_back, expired, forgotten):
            with pytest.raises(Lost):
                self.run(self.ledger.end(hold, State.SUCCEEDED, spent=1.0))
        with pytest.raises(Lost):
            self.run(self.ledger.end(last, State.FAILED, spent=1.0))
        self.counts_for_nothing(last)
        assert not self.may_be_taken(new.name)

    def claimed(self, name: str, owner: str) -> tuple[Hold, Entry]:
        return self.run(claim(self.ledger, name, owner, LEASE))

    def may_be_taken(self, name: str) -> bool:
        """True if one could claim the job who saw it wait, or its lease run out, a moment ago."""
        take = partial(claims.take, name=name, owner="late", lease=LEASE, now=self.database.now)
        return self.run(self.database.note(take)) is not None

    def forget_claim(self, hold: Hold) -> None:
        """The machine of the database fails, and a claim was not on its disk yet."""
        before = {"state": "queued", "owner": "", "lease": None, "attempt": hold.attempt - 1}
        forgetting = update(tables.jobs).where(tables.jobs.c.name == hold.name).values(before)

        def work(connection: Connection) -> None:
            connection.execute(forgetting)
            rows.count(connection, 1)

        self.run(self.database.run(work))

    def recent(self, which: int) -> Hold:
        """One of the last holds, whether it is lost or not."""
        return self.holds[-1 - which % len(self.holds)]

    def chosen(self, which: int) -> Record:
        records = list(self.records.values())
        return records[which % len(records)]

    def waiting(self) -> list[Record]:
        return [one for one in self.records.values() if one.state is State.QUEUED]

    def has(self, hold: Hold) -> bool:
        record = self.records[hold.name]
        return record.holder == hold and record.state is State.RUNNING

    def claimable(self) -> list[Record]:
        """The jobs that may be claimed, by level, by what the caller has running, by age."""
        running = [one for one in self.records.values() if one.state is State.RUNNING]
        expired = [one for one in running if self.database.is_shared and one.lease < self.clock()]

        def order(one: Record) -> tuple[int, int, float, str]:
            beside = sum(other.caller == one.caller for other in running if other not in expired)
            return -floor((self.clock() - one.rank) / 600), beside, one.rank, one.name

        return sorted([*expired, *self.waiting()], key=order)

    def release(self, record: Record, state: State) -> None:
        if record.wanted in CANCELS:
            record.state = State.QUEUED
        else:
            record.state = State.PAUSED if record.wanted is Wish.PAUSE else state
            record.wanted = Wish.NOTHING

    def leases(self) -> dict[str, float | None]:
        """When the leases of the jobs that run end."""
        running = select(tables.jobs.c.name, tables.jobs.c.lease).where(tables.jobs.c.state == "running")
        rows = self.run(self.database.read(lambda connection: connection.execute(running).all()))
        return {row.name: row.lease for row in rows}

    def counts_for_nothing(self, lost: Hold) -> None:
        """No write of a lost hold counts."""
        self.clock.move(1)
        before = self.leases()
        for write in (
            self.ledger.report(lost, "{}"),
            self.ledger.remember(lost, "k", "lost"),
            self.ledger.forget(lost, "k"),
            self.ledger.end(lost, State.SUCCEEDED, spent=1.0, result="lost"),
            self.ledger.hand_back(lost, spent=1.0),
        ):
            with pytest.raises(Lost):
                self.run(write)
        assert self.run(self.ledger.renew([lost], LEASE)) == {}
        assert self.leases() == before

    @contextmanager
    def counts_only_if_held(self, hold: Hold) -> Iterator[Record]:
        if self.has(hold):
            yield self.records[hold.name]
        else:
            with pytest.raises(Lost):
                yield self.records[hold.name]


def test_the_ledger_keeps_to_its_model(url: str, clock: Clock) -> None:
    loop = asyncio.new_event_loop()
    database = loop.run_until_complete(Database.open(url, clock=clock))
    try:
        run_state_machine_as_test(
            lambda: LedgerModel(loop, database, clock),
            settings=settings(max_examples=EXAMPLES, stateful_step_count=30),
        )
    finally:
        loop.run_until_complete(database.close())
        loop.close()

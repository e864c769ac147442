"""Entries of the ledger: a job as it is submitted, as it is kept, and the right to write for it.

Times are seconds since 1970. Requests, results, failures and progress are JSON that the ledger does not read.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass

from orchestrator.jobs.job import Kind, State


class Wish(enum.Enum):
    """What the caller wants of a job that runs. Its owner obeys at once."""

    NOTHING = ""
    PAUSE = "pause"
    CANCEL = "cancel"
    KEEP_PARTIAL = "keep_partial"  # a cancel after which what was made so far is the result
    UNWATCHED = "unwatched"  # a cancel because nobody watches the job any more

    @property
    def ends_the_job(self) -> bool:
        """True for the kinds of a cancel."""
        return self in (Wish.CANCEL, Wish.KEEP_PARTIAL, Wish.UNWATCHED)


class ReferenceKind(enum.Enum):
    """The use that a job has for an artifact."""

    INPUT = "input"
    INTERMEDIATE = "intermediate"
    PREVIEW = "preview"
    RESULT = "result"


@dataclass(frozen=True)
class Reference:
    """An artifact that a job refers to, by name."""

    artifact: str
    kind: ReferenceKind


@dataclass(frozen=True, kw_only=True)
class Submission:
    """What does not change while a job lives."""

    name: str
    caller: str
    method: str
    request: str
    sent: str  # SHA-256 of what the client sent: a repeat must have the same
    recipe: str = ""  # the version of the recipe that the request was written for
    kind: Kind = Kind.INTERACTIVE
    priority: int = 0  # levels: a job gains one for every ten minutes that it waits
    labels: tuple[str, ...] = ()
    request_id: str = ""
    time_limit: float | None = None  # seconds of running time, over all attempts
    watched_within: float | None = None  # it is cancelled when nobody has watched it for so many seconds
    memory: int = 0  # bytes, at most
    requests: int = 1  # to the model that does most of its work, at a time


@dataclass(frozen=True, kw_only=True)
class NewJob(Submission):
    """A job to submit, and the artifacts that it needs."""

    inputs: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Entry(Submission):
    """A job as the ledger has it at one moment."""

    state: State
    attempt: int  # counts the claims
    interruptions: int  # attempts that ended without a word, since it remembered something last
    owner: str  # who runs it, or has ended it
    wanted: Wish
    created: float
    started: float | None
    ended: float | None
    spent: float  # seconds of running time that were reported, over all attempts
    progress: str | None
    failure: str | None
    result: str | None


@dataclass(frozen=True)
class Hold:
    """The right to write for a job. Whoever claims the job next takes it away."""

    name: str
    owner: str
    attempt: int


@dataclass(frozen=True, kw_only=True)
class ClaimableJob:
    """A job that may be claimed, as far as the choice depends on it."""

    name: str
    method: str
    kind: Kind
    memory: int
    requests: int
    interruptions: int  # as in the entry
    expired: bool  # the lease of its last owner ran out


@dataclass(frozen=True)
class WatchLease:
    """How long a job goes on without a watcher."""

    name: str
    within: float  # seconds that a renewal grants
    until: float


class Lost(Exception):
    """The hold is gone: another owner has the job, or it has ended. Nothing was written."""

    def __init__(self, hold: Hold) -> None:
        super().__init__(f"attempt {hold.attempt} of {hold.name} is no longer held by {hold.owner}")
        self.hold = hold

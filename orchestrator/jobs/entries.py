"""Jobs from entries of the ledger, and the texts of JSON that the ledger keeps for them."""

from __future__ import annotations

import hashlib
import json
import logging
from dataclasses import replace
from datetime import datetime, timezone
from typing import Any

from intarsia.errors import IntarsiaError, InternalError, InvalidRequest, classes
from orchestrator.jobs.bound_recipe import BoundRecipe
from orchestrator.jobs.codec import from_plain, to_plain
from orchestrator.jobs.job import Job, State
from orchestrator.jobs.ledger.entry import Entry
from orchestrator.runs.run import Progress

log = logging.getLogger(__name__)


def job_of(entry: Entry, recipe: BoundRecipe | None, progress: Progress | None = None) -> Job:
    """The job of an entry; `progress` if it is known better than by the ledger.

    A result that cannot be read any more, because its recipe is gone or another one, is left out.
    """
    known = progress or progress_of(entry.progress)
    return Job(
        name=entry.name,
        method=entry.method,
        state=entry.state,
        created=_moment(entry.created),
        request_id=entry.request_id,
        progress=progress_at_the_end(known, entry.state) if entry.state.is_final else known,
        failure=None if entry.failure is None else failure_of(entry.failure),
        result=None if entry.result is None or recipe is None else _result(entry, recipe),
        started=None if entry.started is None else _moment(entry.started),
        ended=None if entry.ended is None else _moment(entry.ended),
        kind=entry.kind,
        priority=entry.priority,
        labels=entry.labels,
        attempt=entry.attempt,
    )


def text_of(value: Any) -> str:
    """A request, a result or a progress as JSON."""
    return json.dumps(to_plain(value), ensure_ascii=False)


def digest_of(method: str, original: Any, time_limit: float | None) -> str:
    """The SHA-256 of what a client sent, the same for equal requests."""
    sent = [method, to_plain(original), None if time_limit is None else float(time_limit)]
    return hashlib.sha256(json.dumps(sent, sort_keys=True).encode()).hexdigest()


def progress_of(text: str | None) -> Progress:
    """The progress that was written down last. One that cannot be read any more counts as none."""
    try:
        return Progress() if text is None else from_plain(Progress, json.loads(text))
    except ValueError as error:
        log.warning("the progress of a job cannot be read: %s", error)
        return Progress()


def progress_at_the_end(progress: Progress, state: State) -> Progress:
    """The progress of a job that ended in this state."""
    if state is State.SUCCEEDED:
        return replace(progress, fraction=1.0, remaining=0.0, note="")
    return replace(progress, remaining=None, note="")


def failure_text(error: IntarsiaError) -> str:
    """An error as JSON."""
    plain = {"reason": error.reason, "message": error.message, "facts": dict(error.facts)}
    if isinstance(error, InvalidRequest):
        plain["field"] = error.field
    return json.dumps(plain, ensure_ascii=False)


def failure_of(text: str) -> IntarsiaError:
    """The error that was written down."""
    plain = json.loads(text)
    kind = classes().get(plain["reason"], InternalError)
    facts = {**plain["facts"], **({"field": plain["field"]} if issubclass(kind, InvalidRequest) else {})}
    return kind(plain["message"], **facts)


def _result(entry: Entry, recipe: BoundRecipe) -> Any:
    assert entry.result is not None
    try:
        return from_plain(recipe.result, json.loads(entry.result))
    except ValueError as error:
        log.warning("the result of %s cannot be read: %s", entry.name, error)
        return None


def _moment(seconds: float) -> datetime:
    return datetime.fromtimestamp(seconds, timezone.utc)

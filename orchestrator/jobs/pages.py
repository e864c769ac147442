"""Pages of jobs: a part of a list, and the token of the page after it."""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Iterable, Sequence

from intarsia.errors import InvalidRequest
from orchestrator.jobs.job import Job, Page, State


def page(newest_first: Iterable[Job], *, size: int, token: str, states: Sequence[State]) -> Page:
    """The jobs in these states that come after the token. A token stays valid when jobs come and go."""
    wanted = sorted({state.value for state in states})
    before = _read(token, wanted) if token else None
    found: list[Job] = []
    for job in newest_first:
        if before is not None and job.name >= before:
            continue
        if wanted and job.state.value not in wanted:
            continue
        if len(found) == size:
            return Page(tuple(found), _write(found[-1].name, wanted))
        found.append(job)
    return Page(tuple(found))


def _write(name: str, states: list[str]) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, states]).encode()).decode()


def _read(token: str, states: list[str]) -> str:
    try:
        name, of_states = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError):
        raise InvalidRequest(
            "this is no token of this server; leave it empty to begin at the first page",
            field="page_token",
        ) from None
    if of_states != states or not isinstance(name, str):
        raise InvalidRequest(
            "the token belongs to a list of other states; send the same states, or no token",
            field="page_token",
        )
    return name

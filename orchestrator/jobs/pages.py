"""Pages of jobs: a part of a list, and the token of the page after it.

Jobs are listed by falling name, and a token holds the last name of its page. So a page stays the same while
jobs come and go.
"""

from __future__ import annotations

import base64
import binascii
import json
from collections.abc import Sequence

from intarsia.errors import InvalidRequest
from orchestrator.jobs.job import Job, JobFilter, Page


def page(found: Sequence[Job], *, size: int, filter: JobFilter) -> Page:
    """The page of the first `size` jobs found; one job more says that there is a page after it."""
    jobs = tuple(found[:size])
    return Page(jobs, _token(jobs[-1].name, filter) if len(found) > size else "")


def last_name(token: str, filter: JobFilter) -> str:
    """The last name of the page that a token came with; later pages have lesser ones."""
    try:
        name, criteria = json.loads(base64.urlsafe_b64decode(token.encode()))
    except (binascii.Error, ValueError, TypeError):
        raise InvalidRequest(
            "this is no token of this server; leave it empty to begin at the first page",
            field="page_token",
        ) from None
    if criteria != _criteria(filter) or not isinstance(name, str):
        raise InvalidRequest(
            "the token belongs to a list of other states, methods or labels; send the same ones, or no token",
            field="page_token",
        )
    return name


def _token(name: str, filter: JobFilter) -> str:
    return base64.urlsafe_b64encode(json.dumps([name, _criteria(filter)]).encode()).decode()


def _criteria(filter: JobFilter) -> list[list[str]]:
    states = sorted(state.value for state in filter.states)
    return [states, sorted(filter.methods), sorted(filter.labels)]

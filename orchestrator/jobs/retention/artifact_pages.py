"""Pages of artifacts, newest first.

A token holds the last artifact of its page. So a page stays the same while artifacts come and go.
"""

from __future__ import annotations

import base64
import binascii
import heapq
import json
from datetime import datetime, timezone

from intarsia.errors import InvalidRequest
from orchestrator.jobs.retention.retention import ArtifactPage
from store.artifact import Artifact, ArtifactStore

_PAGE = 500  # artifacts that are looked at in one call


async def newest(store: ArtifactStore, *, size: int, token: str, pinned: bool) -> ArtifactPage:
    """The page behind a token, of all artifacts or of those that are pinned. It looks at every artifact."""
    before = _place_in(token) if token else None
    found: list[Artifact] = []
    page = await store.list(size=_PAGE)
    while page:
        found += [
            artifact
            for artifact in page
            if (artifact.pinned or not pinned) and (before is None or _place(artifact) < before)
        ]
        found = heapq.nlargest(size + 1, found, key=_place)
        page = await store.list(after=page[-1].name, size=_PAGE)
    return ArtifactPage(tuple(found[:size]), _token(found[size - 1]) if len(found) > size else "")


def _place(artifact: Artifact) -> tuple[datetime, str]:
    return artifact.created, artifact.name


def _token(artifact: Artifact) -> str:
    place = [artifact.created.isoformat(), artifact.name]
    return base64.urlsafe_b64encode(json.dumps(place).encode()).decode()


def _place_in(token: str) -> tuple[datetime, str]:
    try:
        created, name = json.loads(base64.urlsafe_b64decode(token.encode()))
        return datetime.fromisoformat(created).astimezone(timezone.utc), str(name)
    except (binascii.Error, ValueError, TypeError):
        raise InvalidRequest(
            "this is no token of this server; leave it empty to begin at the first page",
            field="page_token",
        ) from None

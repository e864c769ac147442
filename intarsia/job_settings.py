"""Settings that every job has, from keyword arguments to the fields of a message."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Mapping
from datetime import timedelta

from google.protobuf.duration_pb2 import Duration

from intarsia import errors
from intarsia.region import put
from intarsia.settings import KINDS
from intarsia.started_jobs import LEASE
from intarsia.v1.editing_pb2 import PictureJob
from intarsia.v1.segmentation_pb2 import TrackRegionRequest


def set_job_settings(
    message: PictureJob | TrackRegionRequest,
    *,
    time_limit: float | timedelta | None = None,
    request_id: str | None = None,
    priority: int | None = None,
    labels: Iterable[str] = (),
    kind: str | None = None,
    detach: bool | None = None,
) -> None:
    """Sets the fields that all messages which start a job share. A request id that is left out is made.

    Unless `detach`, the job ends with the client that starts it.
    """
    message.request_id = request_id or str(uuid.uuid4())
    if time_limit is not None:
        message.time_limit.CopyFrom(_duration(time_limit))
    if not detach:
        message.watched_within.CopyFrom(_duration(LEASE))
    if priority is not None:
        put(message, "priority", priority, "priority")
    if kind is not None:
        put(message, "kind", number_of(kind, KINDS, "kind"), "kind")
    message.labels.extend(label_list(labels))


def label_list(labels: Iterable[str]) -> list[str]:
    """The labels; a string is one label, not a sequence of characters."""
    found = [labels] if isinstance(labels, str) else list(labels)
    for label in found:
        if not isinstance(label, str):
            raise errors.InvalidRequest(f"a label must be text, not {label!r}", field="labels")
    return found


def number_of(word: str, words: Mapping[str, int], field: str) -> int:
    """The number of an enum's word."""
    if word not in words:
        raise errors.InvalidRequest(f"unknown {field} {word!r}; one of: {', '.join(words)}", field=field)
    return words[word]


def _duration(limit: float | timedelta) -> Duration:
    seconds = limit.total_seconds() if isinstance(limit, timedelta) else float(limit)
    if not 0 < seconds < 1e9:
        raise errors.InvalidRequest(
            f"time_limit must be a positive number of seconds, not {limit!r}", field="time_limit"
        )
    length = Duration()
    length.FromNanoseconds(round(seconds * 1e9))
    return length

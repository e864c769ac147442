"""Checks of single fields. An error names the field by its path and says how to correct it."""

from __future__ import annotations

import math
import re
import uuid
from collections.abc import Mapping, Sequence
from typing import TypeVar

from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import Message

from intarsia.errors import InvalidRequest

T = TypeVar("T")

_ARTIFACT = re.compile(r"artifacts/[0-9a-f]{64}")
_JOB = re.compile(r"jobs/[0-9a-f]{32}")
_LABEL = re.compile(r"[\w.:/=-]{1,64}")
_MOST_LABELS, _HIGHEST_PRIORITY = 16, 100
_WATCH_LEASES = 5.0, 86400.0  # seconds, the shortest and the longest
_PAGE, _LARGEST_PAGE = 50, 1000


def is_set(message: Message, name: str) -> bool:
    """True if an optional field is set."""
    return bool(message.HasField(name))


def reject_if_set(message: Message, name: str, path: str, *, why: str) -> None:
    """`InvalidRequest` if an optional field is set that has no meaning here."""
    if is_set(message, name):
        raise InvalidRequest(f"{path}.{name} must be left out: {why}", field=f"{path}.{name}")


def artifact(name: str, field: str) -> str:
    """The full name of an artifact."""
    if not _ARTIFACT.fullmatch(name):
        raise InvalidRequest(
            f"{field} must be `artifacts/` and 64 lower-case hexadecimal digits, not {name[:100]!r}; "
            "upload it first and use the name in the answer",
            field=field,
        )
    return name


def job(name: str, field: str) -> str:
    """The full name of a job."""
    if not _JOB.fullmatch(name):
        raise InvalidRequest(
            f"{field} must be `jobs/` and 32 lower-case hexadecimal digits, not {name[:100]!r}", field=field
        )
    return name


def text(value: str, field: str, *, at_most: int, required: bool = False) -> str:
    """Text of a limited length."""
    if required and not value.strip():
        raise InvalidRequest(f"{field} is required; describe it in plain words", field=field)
    if len(value) > at_most:
        raise InvalidRequest(
            f"{field} may have {at_most} characters and has {len(value)}; shorten it", field=field
        )
    return value


def finite(value: float, field: str) -> float:
    """A finite number."""
    if not math.isfinite(value):
        raise InvalidRequest(f"{field} must be a finite number, not {value}", field=field)
    return value


def in_range(value: T, field: str, least: float, most: float) -> T:
    """A number in [least, most]."""
    if not least <= value <= most:  # type: ignore[operator]  # NaN is in no interval
        raise InvalidRequest(f"{field} must be in [{least:g}, {most:g}], not {value:g}", field=field)
    return value


def enum_value(value: int, field: str, known: Mapping[int, T]) -> T:
    """The meaning of an enum value."""
    if value not in known:
        raise InvalidRequest(f"{field} has the value {value}, which this server does not know", field=field)
    return known[value]


def labels(values: Sequence[str], field: str) -> tuple[str, ...]:
    """Labels of a job, sorted, each of them once."""
    for n, label in enumerate(values):
        if not _LABEL.fullmatch(label):
            raise InvalidRequest(
                f"{field}[{n}] must have 1 to 64 letters, digits, `.`, `_`, `-`, `:`, `/` or `=`, "
                f"not {label[:100]!r}",
                field=field,
            )
    if len(different := set(values)) > _MOST_LABELS:
        raise InvalidRequest(
            f"{field} may be {_MOST_LABELS} different ones and are {len(different)}; leave some out",
            field=field,
        )
    return tuple(sorted(different))


def watched_within(message: Message) -> float | None:
    """The length of a watcher's lease, if one is asked for."""
    length = seconds(message, "watched_within")
    if length is None:
        return None
    shortest, longest = _WATCH_LEASES
    if not shortest <= length <= longest:
        raise InvalidRequest(
            f"watched_within must be from {shortest:g} to {longest:g} seconds, not {length:g}; leave it out "
            "for a job that needs no watcher",
            field="watched_within",
        )
    return length


def page_size(value: int) -> int:
    """The number of entries on a page at most."""
    return in_range(value or _PAGE, "page_size", 1, _LARGEST_PAGE)


def priority(value: int) -> int:
    """A job's priority among those that wait."""
    return in_range(value, "priority", -_HIGHEST_PRIORITY, _HIGHEST_PRIORITY)


def request_id(text: str) -> str:
    """A UUID in its usual form, or nothing."""
    if not text:
        return ""
    try:
        return str(uuid.UUID(text))
    except ValueError:
        raise InvalidRequest(
            f"request_id must be a UUID, such as one of Python's uuid.uuid4(), not {text[:100]!r}",
            field="request_id",
        ) from None


def seconds(message: Message, name: str) -> float | None:
    """A length of time, more than 0, if the field is set."""
    if not is_set(message, name):
        return None
    duration: Duration = getattr(message, name)
    length = duration.seconds + duration.nanos / 1e9
    if length <= 0:
        raise InvalidRequest(f"{name} must be more than 0 seconds; leave it out for no limit", field=name)
    return length

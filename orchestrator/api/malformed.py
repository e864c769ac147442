"""Bytes that are no message of the kind a method takes.

gRPC's own answer to them would be UNKNOWN with a line about its internals. So a message is read in a way
that never fails, and what could not be read is refused where every other fault is.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from intarsia.errors import InvalidRequest


@dataclass(frozen=True)
class Unreadable:
    """Stands where a message should be."""

    why: str


def forgiving(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same reader, answering Unreadable instead of raising."""

    def attempt(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError as error:
            return Unreadable(str(error))

    return attempt


def readable(request: Any) -> Any:
    """A message, or a stream of messages; raises InvalidRequest where one could not be read."""
    if isinstance(request, Unreadable):
        raise InvalidRequest(f"the message cannot be read ({request.why}); is the client of this version?")
    return _readable_each(request) if hasattr(request, "__aiter__") else request


async def _readable_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield readable(request)

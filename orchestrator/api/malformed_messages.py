"""Messages that cannot be parsed.

gRPC itself answers them with UNKNOWN and a line about its internals. So parsing never fails here, and a
message that could not be parsed is refused where all other errors are handled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from intarsia.errors import InvalidRequest


@dataclass(frozen=True)
class MalformedMessage:
    """Takes the place of a message that could not be parsed."""

    why: str


def lenient_deserializer(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same deserializer; it returns a `MalformedMessage` instead of raising."""

    def attempt(data: bytes) -> Any:
        try:
            return read(data)
        except DecodeError as error:
            return MalformedMessage(str(error))

    return attempt


def check_readable(request: Any) -> Any:
    """The message or stream of messages itself; raises InvalidRequest for what could not be parsed."""
    if isinstance(request, MalformedMessage):
        raise InvalidRequest(f"the message cannot be read ({request.why}); is the client of this version?")
    return _check_each(request) if hasattr(request, "__aiter__") else request


async def _check_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield check_readable(request)

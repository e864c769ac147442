"""Messages that cannot be parsed, or are too large.

gRPC itself answers them with UNKNOWN, or RESOURCE_EXHAUSTED, and a line about its internals. So parsing never
fails here, and a message that could not be parsed is refused where all other errors are handled.
"""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from typing import Any

from google.protobuf.message import DecodeError

from intarsia.errors import InvalidRequest

LARGEST = 4 << 20  # bytes of a message
RECEIVED = 32 << 20  # bytes of a message that is still received, so that its refusal can say why


@dataclass(frozen=True)
class MalformedMessage:
    """Takes the place of a message that was not parsed; `why` says so to its sender."""

    why: str


def lenient_deserializer(read: Callable[[bytes], Any]) -> Callable[[bytes], Any]:
    """The same deserializer; it returns a `MalformedMessage` instead of raising."""

    def attempt(data: bytes) -> Any:
        if len(data) > LARGEST:
            return MalformedMessage(
                f"the request has {len(data)} bytes, and at most {LARGEST} are taken: shorten its texts, and "
                "send pictures, masks and adapters as artifacts, in chunks"
            )
        try:
            return read(data)
        except DecodeError as error:
            return MalformedMessage(f"the message cannot be read ({error}); is the client of this version?")

    return attempt


def check_readable(request: Any) -> Any:
    """The message or stream of messages itself; raises InvalidRequest for what could not be parsed."""
    if isinstance(request, MalformedMessage):
        raise InvalidRequest(request.why)
    return _check_each(request) if hasattr(request, "__aiter__") else request


async def _check_each(requests: AsyncIterator[Any]) -> AsyncIterator[Any]:
    async for request in requests:
        yield check_readable(request)

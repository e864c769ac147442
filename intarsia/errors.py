"""All errors, as one tree; the same classes in the client and on the server.

    IntarsiaError
    ├── InvalidRequest        a field is wrong; names it, and how to correct it
    │   ├── DigestMismatch    bytes are not what their name says
    │   └── DoubtfulRegion    a strict request, and doubts about the region that was found
    ├── Unauthenticated       no token, or one that the server does not know
    ├── PermissionDenied      the token is valid, but does not allow this
    ├── QuotaExceeded         the caller has used up its share; says when there is more
    ├── NotFound              nothing has this name
    │   └── EmptyRegion       the region selects no pixel; says what was searched for
    ├── NotReady              the request is fine, this server cannot do it as it is set up
    ├── Busy                  the server is full; try again later
    ├── Cancelled             stopped on request
    ├── TimeLimit             stopped by its own deadline
    ├── ModelDown             a model, or the server, is out of reach; trying again is safe
    │   └── Unreachable       no server answers at this address
    ├── DataLoss              stored bytes are damaged
    └── InternalError         a bug in the server

Every class has a `reason`: the server turns the exception into a gRPC status with that reason, and the client
turns the reason back into the class.
"""

from __future__ import annotations

from collections.abc import Mapping

DOMAIN = "intarsia"


class IntarsiaError(Exception):
    """An error with a message for the caller."""

    reason = "INTERNAL"

    def __init__(self, message: str, **facts: object) -> None:
        """`message` says what happened and what to do next; `facts` are details for programs."""
        super().__init__(message)
        self.message = message
        self.facts: Mapping[str, str] = {name: str(value) for name, value in facts.items()}


class InvalidRequest(IntarsiaError):
    """A field of the request is wrong. `field` is its path, for example `region.box.right`."""

    reason = "INVALID_FIELD"

    def __init__(self, message: str, *, field: str = "", **facts: object) -> None:
        super().__init__(message, **facts)
        self.field = field


class DigestMismatch(InvalidRequest):
    """Bytes do not have the digest, or the length, they were announced with."""

    reason = "DIGEST_MISMATCH"


class DoubtfulRegion(InvalidRequest):
    """There are doubts about the region that was found, and the request is strict."""

    reason = "DOUBTFUL_REGION"


class Unauthenticated(IntarsiaError):
    """The caller sent no token, or one that is not valid."""

    reason = "UNAUTHENTICATED"


class PermissionDenied(IntarsiaError):
    """The caller is known, but may not do this."""

    reason = "FORBIDDEN"


class QuotaExceeded(IntarsiaError):
    """The caller has used up its share of the server."""

    reason = "QUOTA"


class NotFound(IntarsiaError):
    """Nothing has this name."""

    reason = "NOT_FOUND"


class EmptyRegion(NotFound):
    """The region selects no pixel."""

    reason = "EMPTY_REGION"


class NotReady(IntarsiaError):
    """The request is fine, but this server is not set up for it."""

    reason = "NOT_READY"


class Busy(IntarsiaError):
    """The server is full; try again later."""

    reason = "BUSY"


class Cancelled(IntarsiaError):
    """Stopped on request."""

    reason = "CANCELLED"


class TimeLimit(IntarsiaError):
    """Stopped by its time limit."""

    reason = "TIME_LIMIT"


class ModelDown(IntarsiaError):
    """A model or a server cannot be reached, or crashed during the call."""

    reason = "MODEL_DOWN"


class Unreachable(ModelDown):
    """No server answers at this address: it does not run, restarts, or has another address."""

    reason = "UNREACHABLE"
    is_unknown_host = False  # True if no host has this name, so that it is useless to try again


class DataLoss(IntarsiaError):
    """Stored bytes no longer have the digest they are named by."""

    reason = "DATA_LOSS"


class InternalError(IntarsiaError):
    """A bug in the server; its log has the details."""

    reason = "INTERNAL"


def classes() -> dict[str, type[IntarsiaError]]:
    """Every class by its reason."""

    def below(kind: type[IntarsiaError]) -> list[type[IntarsiaError]]:
        return [kind, *(found for child in kind.__subclasses__() for found in below(child))]

    return {kind.reason: kind for kind in below(IntarsiaError) if kind is not IntarsiaError}

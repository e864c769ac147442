"""Exceptions as gRPC statuses: one table, and the details that let a client raise the same exception."""

from __future__ import annotations

import grpc
from google.protobuf.any_pb2 import Any as AnyMessage
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status

from intarsia.errors import (
    DOMAIN,
    Busy,
    Cancelled,
    DataLoss,
    IntarsiaError,
    InternalError,
    InvalidRequest,
    ModelDown,
    NotFound,
    NotReady,
    PermissionDenied,
    QuotaExceeded,
    TimeLimit,
    Unauthenticated,
)

STATUS: dict[type[IntarsiaError], grpc.StatusCode] = {
    InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    NotFound: grpc.StatusCode.NOT_FOUND,
    NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    Cancelled: grpc.StatusCode.CANCELLED,
    TimeLimit: grpc.StatusCode.DEADLINE_EXCEEDED,
    ModelDown: grpc.StatusCode.UNAVAILABLE,
    DataLoss: grpc.StatusCode.DATA_LOSS,
    InternalError: grpc.StatusCode.INTERNAL,
}

# Statuses travel in trailers, and those have to stay small.
_LONGEST_FACT = 300
_LONGEST_MESSAGE = 800


def code_of(error: IntarsiaError) -> grpc.StatusCode:
    """The canonical status of an exception: that of its nearest class in the table."""
    return next((STATUS[kind] for kind in type(error).__mro__ if kind in STATUS), grpc.StatusCode.INTERNAL)


def facts_of(error: IntarsiaError) -> dict[str, str]:
    """Facts for machines; among them the field, if one is wrong."""
    facts = {name: value[:_LONGEST_FACT] for name, value in error.facts.items()}
    if isinstance(error, InvalidRequest) and error.field:
        facts["field"] = error.field
    return facts


def status_of(error: IntarsiaError) -> Status:
    """The whole status, with `ErrorInfo` and, if a field is wrong, `BadRequest`."""
    message = error.message[:_LONGEST_MESSAGE]
    status = Status(code=code_of(error).value[0], message=message)
    _add(status, ErrorInfo(domain=DOMAIN, reason=error.reason, metadata=facts_of(error)))
    if isinstance(error, InvalidRequest) and error.field:
        violation = BadRequest.FieldViolation(field=error.field, description=message, reason=error.reason)
        _add(status, BadRequest(field_violations=[violation]))
    return status


def _add(status: Status, detail: ErrorInfo | BadRequest) -> None:
    packed = AnyMessage()
    packed.Pack(detail)
    status.details.append(packed)

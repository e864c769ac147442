"""Faults: what a call ends with instead of its response."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NoReturn

import grpc
from google.protobuf.any_pb2 import Any as Packed
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from google.rpc.status_pb2 import Status
from grpc_status import rpc_status

from intarsia import errors

CODES = {
    errors.InvalidRequest: grpc.StatusCode.INVALID_ARGUMENT,
    errors.DigestMismatch: grpc.StatusCode.INVALID_ARGUMENT,
    errors.DoubtfulRegion: grpc.StatusCode.INVALID_ARGUMENT,
    errors.Unauthenticated: grpc.StatusCode.UNAUTHENTICATED,
    errors.PermissionDenied: grpc.StatusCode.PERMISSION_DENIED,
    errors.QuotaExceeded: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.NotFound: grpc.StatusCode.NOT_FOUND,
    errors.EmptyRegion: grpc.StatusCode.NOT_FOUND,
    errors.NotReady: grpc.StatusCode.FAILED_PRECONDITION,
    errors.Busy: grpc.StatusCode.RESOURCE_EXHAUSTED,
    errors.Cancelled: grpc.StatusCode.CANCELLED,
    errors.TimeLimit: grpc.StatusCode.DEADLINE_EXCEEDED,
    errors.ModelDown: grpc.StatusCode.UNAVAILABLE,
    errors.Unreachable: grpc.StatusCode.UNAVAILABLE,
    errors.DataLoss: grpc.StatusCode.DATA_LOSS,
    errors.InternalError: grpc.StatusCode.INTERNAL,
}


@dataclass(frozen=True)
class Fault:
    """Ends one call: with an error (or a bare status), after so many chunks, or after the work is done."""

    error: errors.IntarsiaError | grpc.StatusCode
    after_chunks: int = 0
    after_the_work: bool = False

    def strike(self, context: grpc.ServicerContext) -> NoReturn:
        if isinstance(self.error, grpc.StatusCode):
            context.abort(self.error, "scripted")
        raise context.abort_with_status(rpc_status.to_status(rich(self.error)))


def rich(error: errors.IntarsiaError) -> Status:
    details = [ErrorInfo(domain=errors.DOMAIN, reason=error.reason, metadata=error.facts)]
    if isinstance(error, errors.InvalidRequest):
        violation = BadRequest.FieldViolation(field=error.field, description=error.message)
        details.append(BadRequest(field_violations=[violation]))
    packed = [Packed() for _ in details]
    for any_, detail in zip(packed, details, strict=True):
        any_.Pack(detail)
    return Status(code=CODES[type(error)].value[0], message=error.message, details=packed)

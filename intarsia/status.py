"""From a gRPC status, or a job's failure, to the exception that the server raised.

A server sends its exceptions as rich statuses: `ErrorInfo` with the class's reason and its facts, and
`BadRequest` with the field if one is wrong. A reason this client does not know (the server is newer)
falls back to the status code, and so does a plain status, for example of a proxy.
"""

from __future__ import annotations

from collections.abc import Mapping

import grpc
from google.protobuf.message import DecodeError
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo
from grpc_status import rpc_status

from intarsia import errors
from intarsia.v1.jobs_pb2 import Failure

BY_CODE: Mapping[str, type[errors.IntarsiaError]] = {
    "INVALID_ARGUMENT": errors.InvalidRequest,
    "OUT_OF_RANGE": errors.InvalidRequest,
    "ALREADY_EXISTS": errors.InvalidRequest,
    "UNAUTHENTICATED": errors.Unauthenticated,
    "PERMISSION_DENIED": errors.PermissionDenied,
    "NOT_FOUND": errors.NotFound,
    "FAILED_PRECONDITION": errors.NotReady,
    "UNIMPLEMENTED": errors.NotReady,
    "RESOURCE_EXHAUSTED": errors.Busy,
    "ABORTED": errors.Busy,
    "CANCELLED": errors.Cancelled,
    "DEADLINE_EXCEEDED": errors.TimeLimit,
    "UNAVAILABLE": errors.ModelDown,
    "DATA_LOSS": errors.DataLoss,
}


def from_rpc_error(call: grpc.RpcError, server: str) -> errors.IntarsiaError:
    """The exception that ended an rpc to `server` (its address, for the message if it cannot be reached)."""
    code, details = call.code().name, call.details() or ""
    info, field = _details(call)
    if info is not None:
        return _exception(info.reason, code, details, info.metadata, field)
    if code == "UNAVAILABLE":
        return _unreachable(server, details)
    if code == "RESOURCE_EXHAUSTED" and "message larger than max" in details:
        return _too_large(details)
    if code == "DEADLINE_EXCEEDED":
        return errors.TimeLimit(f"{server} did not answer in time ({details}); allow more with `timeout`")
    return _exception("", code, details, {}, field)


def _unreachable(server: str, details: str) -> errors.Unreachable:
    # Words of gRPC's, which has no code for this; if they change, the call is only repeated in vain.
    if any(
        words in details for words in ("errors resolving", "name resolution failed", "DNS resolution failed")
    ):
        error = errors.Unreachable(f"no host has the name in {server} ({details}); correct it")
        error.is_unknown_host = True
        return error
    return errors.Unreachable(
        f"cannot reach {server} ({details}); start a server with `intarsia up`, or name another one"
    )


def _too_large(details: str) -> errors.InvalidRequest:
    if "CLIENT: Received" in details:
        return errors.InvalidRequest(
            f"the answer is too large ({details}); ask for less at once", field="page_size"
        )
    return errors.InvalidRequest(
        f"the request is too large ({details}): shorten its texts, and send pictures, masks and adapters as "
        "artifacts"
    )


def from_failure(failure: Failure, job: str) -> errors.IntarsiaError:
    """The exception that `job` ended with; a wrong field travels among the facts."""
    message = failure.message or f"{job} ended without a reason"
    return _exception(failure.reason, failure.status, message, failure.metadata, "")


def _exception(
    reason: str, code: str, message: str, facts: Mapping[str, str], field: str
) -> errors.IntarsiaError:
    kind = errors.classes().get(reason) or BY_CODE.get(code, errors.InternalError)
    error = kind(message or f"the server answered {code} without a reason")
    error.facts = dict(facts)
    if isinstance(error, errors.InvalidRequest):
        error.field = field or facts.get("field", "")
        error.facts = {name: fact for name, fact in facts.items() if name != "field"}
    return error


def _details(call: grpc.RpcError) -> tuple[ErrorInfo | None, str]:
    """Reason and facts of a status, and its first wrong field; None if it has no details of Intarsia's."""
    try:
        status = rpc_status.from_call(call)
    except (DecodeError, ValueError):
        return None, ""
    info, bad = ErrorInfo(), BadRequest()
    for detail in status.details if status is not None else ():
        detail.Unpack(info)
        detail.Unpack(bad)
    known = info if info.domain == errors.DOMAIN else None
    return known, bad.field_violations[0].field if bad.field_violations else ""

"""Every exception of the server arrives as the same class, with the same facts."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest

import intarsia
from intarsia import errors
from intarsia.status import from_failure
from intarsia.v1.jobs_pb2 import Failure, Job
from tests.intarsia.double import Double, Fault

EVERY_CLASS = sorted(errors.classes().values(), key=lambda kind: kind.reason)


@pytest.fixture
def hasty(server: str) -> intarsia.Client:
    return intarsia.Client(server, retry=intarsia.RetryPolicy(attempts=1))


@pytest.mark.parametrize("kind", EVERY_CLASS)
def test_an_rpc_raises_what_the_server_raised(
    kind: type[errors.IntarsiaError], hasty: intarsia.Client, double: Double
) -> None:
    sent = kind("what happened, and what to do", best_score=0.25)
    if isinstance(sent, errors.InvalidRequest):
        sent.field = "region.box.right"
    double.faults["GetJob"].append(Fault(sent))
    with pytest.raises(errors.IntarsiaError) as caught:
        hasty.get_job("jobs/1")
    assert type(caught.value) is kind
    assert caught.value.message == "what happened, and what to do"
    assert caught.value.facts == {"best_score": "0.25"}
    if isinstance(caught.value, errors.InvalidRequest):
        assert caught.value.field == "region.box.right"


@pytest.mark.parametrize("kind", EVERY_CLASS)
async def test_asyncio_raises_the_same(
    kind: type[errors.IntarsiaError], async_client: intarsia.AsyncClient, double: Double
) -> None:
    double.faults["GetJob"] += [Fault(kind("what happened"))] * 4
    with pytest.raises(errors.IntarsiaError, match="what happened") as caught:
        await async_client.get_job("jobs/1")
    assert type(caught.value) is kind


@pytest.mark.parametrize("kind", EVERY_CLASS)
def test_a_failed_job_raises_its_failure(
    kind: type[errors.IntarsiaError], client: intarsia.Client, double: Double
) -> None:
    double.by_hand = True
    job = client.edit_region(b"a picture", intarsia.click(1, 2), "make it blue")
    failure = Failure(
        reason=kind.reason, message="what happened", metadata={"field": "region", "best": "0.2"}
    )
    double.finish(job.name, Job.STATE_FAILED, failure)
    with pytest.raises(errors.IntarsiaError, match="what happened") as caught:
        job.result()
    assert type(caught.value) is kind
    assert caught.value.facts["best"] == "0.2"
    if isinstance(caught.value, errors.InvalidRequest):
        assert caught.value.field == "region"


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.INVALID_ARGUMENT, errors.InvalidRequest),
        (grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, errors.PermissionDenied),
        (grpc.StatusCode.NOT_FOUND, errors.NotFound),
        (grpc.StatusCode.UNIMPLEMENTED, errors.NotReady),
        (grpc.StatusCode.RESOURCE_EXHAUSTED, errors.Busy),
        (grpc.StatusCode.UNAVAILABLE, errors.Unreachable),
        (grpc.StatusCode.DEADLINE_EXCEEDED, errors.TimeLimit),
        (grpc.StatusCode.INTERNAL, errors.InternalError),
        (grpc.StatusCode.UNKNOWN, errors.InternalError),
    ],
)
def test_a_plain_status_is_read_by_its_code(
    code: grpc.StatusCode, kind: type[errors.IntarsiaError], hasty: intarsia.Client, double: Double
) -> None:
    double.faults["GetJob"].append(Fault(code))
    with pytest.raises(kind, match="scripted"):
        hasty.get_job("jobs/1")


def test_a_reason_from_the_future_is_read_by_its_code() -> None:
    failure = Failure(status="RESOURCE_EXHAUSTED", reason="QUOTA_OF_THE_MOON", message="full")
    assert type(from_failure(failure, "jobs/1")) is errors.Busy


def test_no_authentication_failure_is_an_invalid_request() -> None:
    for kind in (errors.Unauthenticated, errors.PermissionDenied, errors.QuotaExceeded):
        assert not issubclass(kind, errors.InvalidRequest)


def test_garbled_details_do_not_hide_the_error() -> None:
    class Garbling(grpc.GenericRpcHandler):
        def service(self, details: grpc.HandlerCallDetails) -> grpc.RpcMethodHandler:
            def answer(_: bytes, context: grpc.ServicerContext) -> bytes:
                context.set_trailing_metadata((("grpc-status-details-bin", b"\xff\xff\xff"),))
                raise context.abort(grpc.StatusCode.NOT_FOUND, "no such job")

            return grpc.unary_unary_rpc_method_handler(answer)

    server = grpc.server(ThreadPoolExecutor(1), handlers=[Garbling()])
    port = server.add_insecure_port("localhost:0")
    server.start()
    try:
        with intarsia.Client(f"localhost:{port}") as client, pytest.raises(errors.NotFound, match="no such"):
            client.get_job("jobs/1")
    finally:
        server.stop(None).wait()


def test_the_error_of_an_unreachable_server_says_where_and_what_to_do() -> None:
    client = intarsia.Client("localhost:1", retry=intarsia.RetryPolicy(attempts=2, first_pause=0.01))
    with pytest.raises(errors.Unreachable, match=r"localhost:1 .*intarsia up"):
        client.get_job("jobs/1")


@pytest.mark.parametrize("size", [5 << 20, 9 << 20], ids=["for the server", "for the client"])
def test_a_message_that_is_too_large_is_a_wrong_request(size: int, server: str) -> None:
    with intarsia.Client(server) as client:
        with pytest.raises(errors.InvalidRequest, match="the request is too large") as caught:
            client.get_job("x" * size)
    assert caught.value.reason == "INVALID_FIELD" and "shorten its texts" in caught.value.message

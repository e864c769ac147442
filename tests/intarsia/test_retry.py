"""Repeats: harmless, patient, and within the caller's time."""

from __future__ import annotations

import asyncio
import time

import grpc
import pytest

import intarsia
from intarsia import errors
from tests.intarsia.double import Double, Fault

WHERE = intarsia.click(120, 80)


def test_an_edit_that_broke_after_the_work_is_repeated_with_its_request_id(
    client: intarsia.Client, double: Double
) -> None:
    double.faults["EditRegion"].append(Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True))
    job = client.edit_region(b"a picture", WHERE, "make it blue")
    first, second = double.requests("EditRegion")
    assert first == second and first.job.request_id
    assert list(double.jobs) == [job.name]


async def test_asyncio_repeats_too(async_client: intarsia.AsyncClient, double: Double) -> None:
    double.faults["EditRegion"] += [Fault(grpc.StatusCode.UNAVAILABLE, after_the_work=True)] * 3
    job = await async_client.edit_region(b"a picture", WHERE, "make it blue")
    assert len({request.job.request_id for request in double.requests("EditRegion")}) == 1
    assert list(double.jobs) == [job.name]


def test_every_edit_has_its_own_request_id_unless_one_is_given(
    client: intarsia.Client, double: Double
) -> None:
    jobs = [client.edit_region(b"a picture", WHERE, "make it blue").name for _ in range(2)]
    assert len(set(jobs)) == 2
    given = [
        client.edit_region(b"a picture", WHERE, "make it blue", request_id="mine").name for _ in range(2)
    ]
    assert len(set(given)) == 1


@pytest.mark.parametrize("kind", [errors.InvalidRequest, errors.NotFound, errors.Busy, errors.InternalError])
def test_an_answer_is_not_questioned(
    kind: type[errors.IntarsiaError], client: intarsia.Client, double: Double
) -> None:
    double.faults["EditRegion"].append(Fault(kind("no")))
    with pytest.raises(kind):
        client.edit_region(b"a picture", WHERE, "make it blue")
    assert len(double.requests("EditRegion")) == 1


def test_patience_ends(client: intarsia.Client, double: Double) -> None:
    double.faults["GetJob"] += [Fault(grpc.StatusCode.UNAVAILABLE)] * 9
    with pytest.raises(errors.ModelDown):
        client.get_job("jobs/1")
    assert len(double.requests("GetJob")) == 4


def test_a_server_that_never_answered_is_given_up_soon() -> None:
    retry = intarsia.RetryPolicy(first_pause=0.05, longest_pause=0.05, first_contact=0.2)
    start = time.monotonic()
    with intarsia.Client("localhost:1", retry=retry) as client, pytest.raises(errors.Unreachable):
        client.get_job("jobs/1")
    assert 0.1 < time.monotonic() - start < 2


def test_a_server_that_has_answered_is_given_the_time_of_a_restart(server: str, double: Double) -> None:
    retry = intarsia.RetryPolicy(attempts=9, first_pause=0.01, longest_pause=0.01, first_contact=0)
    with intarsia.Client(server, retry=retry) as client:
        job = client.edit_region(b"a picture", WHERE, "make it blue")
        double.faults["GetJob"] += [Fault(grpc.StatusCode.UNAVAILABLE)] * 8
        assert job.get().name == job.name
    assert len(double.requests("GetJob")) == 9


def test_an_upload_is_given_that_time_once_the_server_asked_for_its_bytes(
    server: str, double: Double
) -> None:
    retry = intarsia.RetryPolicy(attempts=3, first_pause=0.01, longest_pause=0.01, first_contact=0)
    double.faults["UploadArtifact"] += [Fault(grpc.StatusCode.UNAVAILABLE)] * 2
    with intarsia.Client(server, retry=retry) as client:
        assert client.upload(b"a picture").name in double.stored
    assert len(double.requests("UploadArtifact")) == 3


def test_an_unknown_host_is_not_tried_again() -> None:
    retry = intarsia.RetryPolicy(first_pause=60, longest_pause=60)
    with intarsia.Client("no-such-host.invalid:50051", retry=retry) as client:
        with pytest.raises(errors.Unreachable, match="no host has the name in no-such"):
            client.get_job("jobs/1")


@pytest.mark.parametrize(
    ("server", "remedy"),
    [
        ("http://example.com", "write example.com:50051$"),
        ("https://example.com:443/path", "write example.com:443 and use TLS"),
        ("example.com", "names no port; write for example example.com:50051"),
        ("::1", r"brackets, for example \[::1\]:50051"),
        ("localhost:99999", "from 1 to 65535"),
        ("localhost:port", "not host:port"),
        ("a b:50051", "not host:port"),
        ("", "not host:port"),
    ],
)
def test_an_address_that_cannot_be_one_is_corrected(server: str, remedy: str) -> None:
    with pytest.raises(errors.InvalidRequest, match=remedy) as caught:
        intarsia.Client(server)
    assert caught.value.field == "server"


@pytest.mark.parametrize(
    "server", ["localhost:1", "[::1]:50051", "unix:/tmp/socket", "dns:///example.com:1", "ipv4:10.0.0.7:1"]
)
def test_an_address_that_can_be_one_is_taken(server: str) -> None:
    intarsia.Client(server).close()


def test_repeats_stay_within_the_calls_time(server: str, double: Double) -> None:
    double.faults["GetJob"] += [Fault(grpc.StatusCode.UNAVAILABLE)] * 99
    retry = intarsia.RetryPolicy(attempts=99, first_pause=0.05, longest_pause=0.05)
    start = time.monotonic()
    # The last attempt either fails like the others or, on a slow machine, is cut off by the call's end.
    given_up = pytest.raises((errors.ModelDown, errors.TimeLimit))
    with intarsia.Client(server, timeout=0.5, retry=retry) as client, given_up:
        client.get_job("jobs/1")
    assert time.monotonic() - start < 2


def test_pauses_grow_and_stay_under_the_longest() -> None:
    retry = intarsia.RetryPolicy(first_pause=1.0, longest_pause=4.0)
    for failures, most in ((1, 1.0), (2, 2.0), (3, 4.0), (9, 4.0)):
        assert all(most / 2 <= retry.pause(failures) <= most for _ in range(50))


def test_a_call_without_an_answer_ends_by_its_deadline(server: str, double: Double) -> None:
    double.by_hand = True
    with intarsia.Client(server) as client:
        job = client.edit_region(b"a picture", WHERE, "make it blue")
        with pytest.raises(errors.TimeLimit):
            list(job.watch(timeout=0.2))


def test_a_token_is_sent_with_every_call(server: str, double: Double) -> None:
    with intarsia.Client(server, token="secret") as client:
        client.segment_region(b"a picture", WHERE)
    assert len(double.metadata) == 3
    assert all(sent["authorization"] == "Bearer secret" for sent in double.metadata)


@pytest.mark.parametrize(
    "server", ["example.com:50051", "10.0.0.7:50051", "localhost.example.com:1", "dns:///a:1"]
)
def test_a_token_does_not_leave_this_machine_in_plain_text(server: str) -> None:
    with pytest.raises(errors.InvalidRequest, match="plain text") as caught:
        intarsia.Client(server, token="secret")
    assert caught.value.field == "token"


async def test_many_calls_share_one_asyncio_client(
    async_client: intarsia.AsyncClient, double: Double
) -> None:
    names = [double.keep(bytes([number]) * 2_500) for number in range(20)]
    contents = await asyncio.gather(*(async_client.read(name) for name in names))
    assert [content[0] for content in contents] == list(range(20))

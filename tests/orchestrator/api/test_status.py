"""Every exception has a status, and comes back as itself at the other end."""

from __future__ import annotations

import grpc
import pytest
from google.rpc.error_details_pb2 import BadRequest, ErrorInfo

from intarsia.errors import DOMAIN, Busy, DigestMismatch, IntarsiaError, QuotaExceeded, classes
from orchestrator.api.status import STATUS, code_of, status_of


def test_no_class_is_without_a_status() -> None:
    for kind in classes().values():
        assert any(parent in STATUS for parent in kind.__mro__), kind


def test_only_a_full_server_and_a_used_up_quota_share_a_status() -> None:
    shared = grpc.StatusCode.RESOURCE_EXHAUSTED
    assert {kind for kind, code in STATUS.items() if code is shared} == {Busy, QuotaExceeded}
    assert len(set(STATUS.values())) == len(STATUS) - 1


def test_a_class_without_a_status_of_its_own_has_its_parents() -> None:
    assert code_of(DigestMismatch("other bytes")) is grpc.StatusCode.INVALID_ARGUMENT


@pytest.mark.parametrize("kind", classes().values())
def test_a_status_has_reason_and_facts(kind: type[IntarsiaError]) -> None:
    status = status_of(kind("what happened", score=0.5))
    info = ErrorInfo()
    assert status.details[0].Unpack(info)
    assert (info.domain, info.reason, dict(info.metadata)) == (DOMAIN, kind.reason, {"score": "0.5"})
    assert status.message == "what happened"


def test_a_wrong_field_is_a_bad_request() -> None:
    status = status_of(DigestMismatch("other bytes", field="header.sha256"))
    bad = BadRequest()
    assert status.details[1].Unpack(bad)
    assert [(v.field, v.reason) for v in bad.field_violations] == [("header.sha256", "DIGEST_MISMATCH")]


def test_a_status_stays_small_enough_for_a_trailer() -> None:
    error = DigestMismatch("x" * 10_000, field="f" * 200, fact="y" * 10_000)
    assert status_of(error).ByteSize() < 4096

"""Checks of single fields."""

from __future__ import annotations

import pytest

from intarsia.errors import InvalidRequest
from intarsia.v1 import editing_pb2 as ed
from orchestrator.api import fields


@pytest.mark.parametrize("text", ["7", "not a uuid", "7d444840-9dc0-11d1-b245-5ffdce74fad", "g" * 32])
def test_request_ids_are_uuids(text: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        fields.request_id(text)
    assert caught.value.field == "request_id"


def test_request_ids_have_one_spelling() -> None:
    assert fields.request_id("7D4448409DC011D1B2455FFDCE74FAD2") == "7d444840-9dc0-11d1-b245-5ffdce74fad2"
    assert fields.request_id("") == ""


@pytest.mark.parametrize(("seconds", "nanos"), [(0, 0), (-1, 0), (0, -5)])
def test_time_limits_are_more_than_nothing(seconds: int, nanos: int) -> None:
    job = ed.PictureJob()
    job.time_limit.seconds, job.time_limit.nanos = seconds, nanos
    with pytest.raises(InvalidRequest) as caught:
        fields.seconds(job, "time_limit")
    assert caught.value.field == "time_limit"


def test_without_a_time_limit_there_is_none() -> None:
    job = ed.PictureJob()
    assert fields.seconds(job, "time_limit") is None
    job.time_limit.FromMilliseconds(1500)
    assert fields.seconds(job, "time_limit") == 1.5

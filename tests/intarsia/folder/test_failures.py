"""Folders with items that fail, and servers that fail all of them."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import Any

import grpc
import pytest

import intarsia
from intarsia import errors, folder
from intarsia.folder import Folder
from intarsia.v1.jobs_pb2 import Failure, Job
from tests.intarsia.conftest import QUICK
from tests.intarsia.double import Fault
from tests.intarsia.folder.conftest import (
    Painter,
    Run,
    ask,
    counted,
    jobs_of,
    pictures,
    told,
    written,
)


def test_a_failure_stops_nothing_else_and_is_explained(run: Run, imgs: Path, double: Painter) -> None:
    (imgs / "sub/b.jpg").write_bytes(b"a shopping list")
    report = run()
    assert not report.ok and report.counts == {"succeeded": 2, "failed": 1}
    assert report.reasons == {"INVALID_FIELD": 1}
    line = told(report)["items"][1]
    assert (line["state"], line["reason"], line["field"]) == ("failed", "INVALID_FIELD", "picture")
    assert line["message"] == "this is no picture but a shopping list; send another one"
    assert told(report)["complete"]
    assert set(written(imgs.parent / "out")) == {"a.png", "sub/c.png"}


def test_what_failed_is_tried_again_by_the_next_run(run: Run, imgs: Path, double: Painter) -> None:
    (imgs / "a.png").write_bytes(b"a shopping list")
    run()
    assert run().counts == {"skipped": 2, "failed": 1}
    assert jobs_of(double)[b"a shopping list"] == 2
    pictures(imgs, "a.png")
    assert run().counts == {"skipped": 2, "succeeded": 1}


def test_a_file_that_cannot_be_read_fails_alone(run: Run, imgs: Path, monkeypatch: Any) -> None:
    before = folder.Folder.pairs

    def vanishing(self: Folder, request: Any) -> folder.Pairs:
        found = before(self, request)
        (imgs / "a.png").unlink()
        return found

    monkeypatch.setattr(Folder, "pairs", vanishing)
    report = run()
    assert report.counts == {"succeeded": 2, "failed": 1} and report.reasons == {"IO": 1}
    assert "a.png" in told(report)["items"][0]["message"]


def test_what_is_wrong_with_every_item_ends_the_batch_at_once(run: Run, imgs: Path, double: Painter) -> None:
    refusal = Fault(errors.InvalidRequest("must be at most 1000", field="sampling.steps"))
    double.faults["EditRegion"] += [refusal] * 9
    with pytest.raises(errors.InvalidRequest, match="at most 1000"):
        run(at_once=1)
    assert len(double.requests("EditRegion")) == 1
    facts = json.loads((imgs.parent / "out/report.json").read_text())
    assert not facts["complete"] and facts["counts"] == counted(items=3, left=3)
    assert facts["ended_by"]["reason"] == "INVALID_FIELD"
    assert {line["state"] for line in facts["items"]} == {"left"}


@pytest.mark.parametrize(
    ("reason", "field", "kind"),
    [
        ("INVALID_FIELD", "adapters[0].adapter", errors.InvalidRequest),
        ("NOT_READY", "", errors.NotReady),
    ],
)
def test_a_job_that_fails_as_every_other_would_ends_the_batch(
    reason: str, field: str, kind: type[errors.IntarsiaError], run: Run, imgs: Path, double: Painter
) -> None:
    def fail(name: str) -> None:
        failure = Failure(reason=reason, message="nothing fits", metadata={"field": field} if field else {})
        double.finish(name, Job.STATE_FAILED, failure)

    double.succeed = fail  # type: ignore[method-assign]
    with pytest.raises(kind, match="nothing fits"):
        run(at_once=1)
    facts = json.loads((imgs.parent / "out/report.json").read_text())
    assert facts["counts"] == counted(items=3, failed=1, left=2) and facts["ended_by"]["reason"] == reason
    del double.succeed
    assert run().counts == {"succeeded": 3}


@pytest.mark.parametrize(
    ("code", "kind"),
    [
        (grpc.StatusCode.UNAUTHENTICATED, errors.Unauthenticated),
        (grpc.StatusCode.PERMISSION_DENIED, errors.PermissionDenied),
    ],
)
def test_a_token_that_is_refused_is_refused_for_all(
    code: grpc.StatusCode, kind: type[errors.IntarsiaError], run: Run, double: Painter
) -> None:
    double.faults["GetArtifact"] += [Fault(code)] * 9
    with pytest.raises(kind):
        run(at_once=1)
    assert len(double.requests("GetArtifact")) == 1


def test_a_quota_that_stays_used_up_ends_the_batch(run: Run, double: Painter) -> None:
    double.faults["GetArtifact"] += [Fault(errors.QuotaExceeded("used up"))] * 99
    with pytest.raises(errors.QuotaExceeded, match="used up"):
        run(at_once=1)
    assert 1 < len(double.requests("GetArtifact")) < 99


def test_a_server_that_is_full_for_a_while_is_waited_for(run: Run, double: Painter) -> None:
    waited: list[str] = []

    class Ear(folder.Listener):
        def on_retry(self, item: folder.Item, error: Exception, seconds: float) -> None:
            waited.append(str(error))

    double.faults["EditRegion"] += [Fault(errors.Busy("256 jobs are waiting already"))] * 3
    assert run(at_once=1, listener=Ear()).counts == {"succeeded": 3}
    assert waited == ["256 jobs are waiting already"] * 3


def test_a_server_that_stays_full_fails_the_items(run: Run, double: Painter) -> None:
    double.faults["EditRegion"] += [Fault(errors.Busy("256 jobs are waiting already"))] * 12
    report = run(at_once=1)
    assert report.counts == {"failed": 3} and report.reasons == {"BUSY": 3}


async def test_a_server_that_stays_down_ends_the_batch(imgs: Path) -> None:
    where = Folder(imgs, imgs.parent / "out")
    async with intarsia.AsyncClient("localhost:1", retry=QUICK, timeout=0.2) as client:
        with pytest.raises(errors.ModelDown, match="localhost:1"):
            await folder.run_async(client, where, ask(), retry=QUICK)
    facts = json.loads((imgs.parent / "out/report.json").read_text())
    assert not facts["complete"] and facts["ended_by"]["reason"] == "UNREACHABLE"


@pytest.mark.parametrize("reason", ["MODEL_DOWN", "BUSY"])
def test_a_job_that_failed_because_a_model_was_down_is_tried_again(
    reason: str, run: Run, double: Painter
) -> None:
    succeed, failed = double.succeed, Counter[str]()

    def now_and_then(name: str) -> None:
        picture = double.asked_by(name).job.picture
        failed[picture] += 1
        if failed[picture] < 3:
            double.finish(name, Job.STATE_FAILED, Failure(reason=reason, message="gone"))
        else:
            succeed(name)

    double.succeed = now_and_then  # type: ignore[method-assign]
    assert run().counts == {"succeeded": 3}
    assert set(jobs_of(double).values()) == {3}


def test_waiting_for_a_model_that_stays_down_ends(run: Run, double: Painter) -> None:
    gone = Failure(status="UNAVAILABLE", reason="MODEL_DOWN", message="gone")
    double.succeed = lambda name: double.finish(name, Job.STATE_FAILED, gone)  # type: ignore[method-assign]
    assert run().reasons == {"MODEL_DOWN": 3}
    assert set(jobs_of(double).values()) == {3}


def test_a_job_that_a_restarted_server_has_forgotten_is_started_again(run: Run, double: Painter) -> None:
    double.faults["WatchJob"] += [Fault(errors.NotFound("there is no such job"))] * 2
    assert run().counts == {"succeeded": 3}
    assert set(jobs_of(double).values()) == {1}  # by the same id, which means the same job to a server


def test_of_two_hundred_pictures_the_twenty_broken_ones_are_explained(
    run: Run, double: Painter, tmp_path: Path
) -> None:
    many = pictures(tmp_path / "many", *(f"{n % 7}/{n}.png" for n in range(200)))
    for number in range(0, 200, 10):
        (many / f"{number % 7}/{number}.png").write_bytes(f"wreck {number}".encode())
    report = run(pictures=many)
    assert report.counts == {"succeeded": 180, "failed": 20}
    failed = [line for line in told(report)["items"] if line["state"] == "failed"]
    assert len(failed) == 20 and all("this is no picture but wreck" in line["message"] for line in failed)
    assert len(written(tmp_path / "out")) == 180

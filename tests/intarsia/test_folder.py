"""Whole folders, through failures, kills and second runs. The server is a double that counts what it did."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import textwrap
import threading
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

import intarsia
from intarsia import errors, folder
from intarsia.folder import Folder, Report
from intarsia.v1.editing_pb2 import EditRegionRequest
from intarsia.v1.jobs_pb2 import Failure, Job
from intarsia.v1.region_pb2 import POLARITY_WHITE_INSIDE
from intarsia.v1.results_pb2 import View
from tests.intarsia.conftest import QUICK
from tests.intarsia.double import Double, Fault, serve

Run = Callable[..., Report]


class Painter(Double):
    """Makes of every picture what was asked for; of what is no picture, a failure that says so."""

    def asked_by(self, job: str) -> EditRegionRequest:
        return next(r for r in self.requests("EditRegion") if f"jobs/{r.job.request_id}" == job)

    def succeed(self, name: str) -> None:
        request = self.asked_by(name)
        source = self.stored[request.job.picture]
        if not source.startswith(b"picture"):
            why = f"this is no picture but {source.decode()}; send another one"
            metadata = {"field": "picture"}
            failure = Failure(
                status="INVALID_ARGUMENT", reason="INVALID_FIELD", message=why, metadata=metadata
            )
            self.finish(name, Job.STATE_FAILED, failure)
            return

        def made(job: Job) -> None:
            mask = self.stored.get(request.region.mask.artifact, b"everything")
            picture = source + b" in " + mask + b" " + request.instruction.encode()
            job.progress.fraction = 1.0
            result = job.result.picture
            result.picture, result.mask = self.keep(picture), self.keep(b"mask of " + source)
            result.manifest.seed = request.job.sampling.seed or 99
            for number in range(request.job.candidates):
                candidate = result.candidates.add(picture=self.keep(picture + b"." * number), seed=number)
                if View.KIND_LAYER in request.job.output.views:
                    layer = self.keep(b"layer %d of " % number + source)
                    candidate.views.add(kind=View.KIND_LAYER, picture=layer)
            if View.KIND_OVERLAY in request.job.output.views:
                result.views.add(kind=View.KIND_OVERLAY, picture=self.keep(b"overlay of " + source))
            if request.job.output.HasField("collage"):
                result.collage = self.keep(b"collage of " + source)

        self._move(name, made, Job.STATE_SUCCEEDED)


@pytest.fixture
def double() -> Painter:
    return Painter()


@pytest.fixture
def imgs(tmp_path: Path) -> Path:
    """A few pictures."""
    return pictures(tmp_path / "imgs", "a.png", "sub/b.jpg", "sub/c.png")


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"picture {name}".encode())
    return root


EVERYWHERE = intarsia.rectangle(0, 0, 9, 9)
OWN_MASK = intarsia.mask(None, inside="white")


def ask(where: intarsia.Region = EVERYWHERE, **settings: Any) -> folder.Ask:
    """The same edit for every picture."""
    return lambda client: client.edit_request(where, "blue", **settings)


@pytest.fixture
def run(server: str, imgs: Path) -> Run:
    """Works through the folder, with little patience."""

    def work(what: folder.Ask | None = None, **settings: Any) -> Report:
        listener = settings.pop("listener", None)
        where = Folder(**{"pictures": imgs, "out": imgs.parent / "out", **settings})
        return folder.run(where, what or ask(), server=server, listener=listener, retry=QUICK)

    return work


def written(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith("report.")
    }


def told(report: Report) -> dict[str, Any]:
    return json.loads(report.path.read_text())


def states(report: Report) -> dict[str, str]:
    return {line["item"]: line["state"] for line in told(report)["items"]}


def counted(**some: int) -> dict[str, int]:
    """The counts of a report, those that are not named being 0."""
    return dict.fromkeys(("items", "succeeded", "skipped", "failed", "cancelled", "left"), 0) | some


def journal(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()[1:]]


def jobs_of(double: Painter) -> Counter[bytes]:
    """How many different jobs were started for each picture."""
    ids = {request.job.request_id: request.job.picture for request in double.requests("EditRegion")}
    return Counter(double.stored[picture] for picture in ids.values())


def test_results_lie_in_the_same_folders_by_the_same_names(run: Run, imgs: Path) -> None:
    before = written(imgs)
    report = run()
    assert written(imgs.parent / "out") == {
        name.replace(".jpg", ".png"): content + b" in everything blue" for name, content in before.items()
    }
    assert written(imgs) == before
    assert report.ok and report.counts == {"succeeded": 3} and report.left == 0


def test_the_report_lists_every_item(run: Run, imgs: Path) -> None:
    facts = told(run(ask(seed=7)))
    assert [line["item"] for line in facts["items"]] == ["a", "sub/b", "sub/c"]
    line = facts["items"][1]
    assert (line["picture"], line["files"], line["state"]) == ("sub/b.jpg", ["sub/b.png"], "succeeded")
    assert line["seed"] == "7" and line["job"].startswith("jobs/") and line["seconds"] >= 0
    assert facts["method"] == "EditRegion" and facts["request"]["instruction"] == "blue"
    assert facts["complete"] and facts["ended_by"] is None and facts["seconds"] > 0
    assert facts["counts"] == counted(items=3, succeeded=3)
    assert not {"picture", "request_id"} & facts["request"].get("job", {}).keys()


def test_each_picture_gets_its_own_mask(run: Run, imgs: Path, double: Painter) -> None:
    masks = pictures(imgs.parent / "masks", "a.tif", "sub/b.png", "sub/d.png")
    (imgs / "sub/e.png").touch()
    (imgs / "sub/e.webp").touch()
    report = run(ask(OWN_MASK), masks=masks)
    assert set(written(imgs.parent / "out")) == {"a.png", "sub/b.png"}
    content = (imgs.parent / "out/sub/b.png").read_bytes()
    assert content == b"picture sub/b.jpg in picture sub/b.png blue"
    facts = told(report)
    assert facts["orphans"] == {"pictures": ["sub/c.png"], "masks": ["sub/d.png"]}
    assert facts["duplicates"] == [{"name": "sub/e", "pictures": ["sub/e.png", "sub/e.webp"], "masks": []}]
    assert {request.region.mask.polarity for request in double.requests("EditRegion")} == {
        POLARITY_WHITE_INSIDE
    }


def test_a_mask_in_a_combination_is_the_items_own_as_well(run: Run, imgs: Path, double: Painter) -> None:
    shared = imgs.parent / "shared.png"
    shared.write_bytes(b"a mask for all")
    masks = pictures(imgs.parent / "masks", "a.png")
    run(ask(OWN_MASK - intarsia.mask(shared, inside="black"), further=[(OWN_MASK, "red")]), masks=masks)
    (sent,) = double.requests("EditRegion")
    regions = [*(term.region for term in sent.region.combination.terms), sent.further_edits[0].region]
    own = b"picture a.png"
    assert [double.stored[region.mask.artifact] for region in regions] == [own, b"a mask for all", own]


@pytest.mark.parametrize("masked", [True, False])
def test_masks_and_a_region_that_says_nothing_of_them_are_refused(masked: bool, run: Run, imgs: Path) -> None:
    with pytest.raises(errors.InvalidRequest) as caught:
        run(ask() if masked else ask(OWN_MASK), masks=imgs / "sub" if masked else None)
    assert caught.value.field == "region.mask" and not (imgs.parent / "out").exists()


def test_everything_that_was_made_is_fetched(run: Run, imgs: Path) -> None:
    run(ask(candidates=2, views=["layer", "overlay"], collage=True), with_mask=True)
    out = written(imgs.parent / "out")
    kinds = ("", "_2", "_2_layer", "_collage", "_layer", "_mask", "_overlay")
    assert set(out) == {f"{name}{kind}.png" for name in ("a", "sub/b", "sub/c") for kind in kinds}
    assert out["a_2.png"] == b"picture a.png in everything blue."
    assert out["a_2_layer.png"] == b"layer 1 of picture a.png"
    assert out["a_layer.png"] == b"layer 0 of picture a.png"
    assert out["a_mask.png"] == b"mask of picture a.png"


def test_a_second_run_asks_for_nothing(run: Run, imgs: Path, double: Painter) -> None:
    run()
    asked = len(double.asked)
    report = run()
    assert len(double.asked) == asked
    assert report.ok and report.counts == {"skipped": 3} and report.median_seconds is None
    assert set(states(report).values()) == {"succeeded"}


@pytest.mark.parametrize("change", ["picture", "mask", "request", "result gone", "result empty"])
def test_only_what_changed_is_done_anew(change: str, run: Run, imgs: Path, double: Painter) -> None:
    masks, out = pictures(imgs.parent / "masks", "a.png", "sub/b.png", "sub/c.png"), imgs.parent / "out"
    run(ask(OWN_MASK), masks=masks)
    first, done = journal(out), jobs_of(double)
    how: dict[str, Any] = {}
    if change == "picture":
        (imgs / "a.png").write_bytes(b"picture a, cleaned")
    elif change == "mask":
        (masks / "a.png").write_bytes(b"a larger mask")
    elif change == "result gone":
        (out / "a.png").unlink()
    elif change == "result empty":
        (out / "a.png").write_bytes(b"")
    else:
        how["steps"] = 5
    report = run(ask(OWN_MASK, **how), masks=masks)
    anew = 3 if change == "request" else 1
    assert report.counts == {"succeeded": anew, "skipped": 3 - anew} if anew < 3 else {"succeeded": 3}
    assert len(journal(out)) == len(first) + anew
    content = (imgs / "a.png").read_bytes() + b" in " + (masks / "a.png").read_bytes() + b" blue"
    assert (out / "a.png").read_bytes() == content
    # A result that was lost is fetched again, and not made again.
    assert (jobs_of(double) == done) == change.startswith("result")


def test_more_time_is_no_other_request_for_what_is_done(run: Run, imgs: Path) -> None:
    run(ask(time_limit=60))
    assert run(ask(time_limit=90)).counts == {"skipped": 3}


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


def test_a_link_in_the_results_never_leads_into_the_inputs(run: Run, imgs: Path) -> None:
    (imgs.parent / "out").mkdir()
    (imgs.parent / "out/sub").symlink_to(imgs / "sub")
    (imgs.parent / "out/a.png").symlink_to(imgs / "a.png")
    before = written(imgs)
    report = run()
    assert report.counts == {"failed": 3} and "remove it" in told(report)["items"][0]["message"]
    assert written(imgs) == before


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
    assert not facts["complete"] and facts["ended_by"]["reason"] == "MODEL_DOWN"


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


def test_never_more_items_run_than_allowed(run: Run, double: Painter, tmp_path: Path) -> None:
    many = pictures(tmp_path / "many", *(f"{number}.png" for number in range(12)))
    double.by_hand = True
    arrived, under_way = double._arrived, []

    def open_jobs() -> list[str]:
        waiting = (Job.STATE_QUEUED, Job.STATE_RUNNING)
        return [name for name, history in list(double.jobs.items()) if history[-1].state in waiting]

    def counting(method: str, request: Any, context: Any) -> Fault | None:
        if method == "EditRegion":
            under_way.append(len(open_jobs()) + 1)
        return arrived(method, request, context)

    def moved_on() -> None:
        for done in range(12):
            double.until(lambda left=12 - done: len(open_jobs()) == min(3, left))
            double.succeed(open_jobs()[0])

    double._arrived = counting  # type: ignore[method-assign]
    mover = threading.Thread(target=moved_on)
    mover.start()
    assert run(pictures=many, at_once=3).counts == {"succeeded": 12}
    mover.join()
    assert max(under_way) == 3


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


SCRIPT = textwrap.dedent(
    """
    import sys
    from intarsia import RetryPolicy, folder
    from tests.intarsia.test_folder import ask

    pictures, out, server = sys.argv[1:]
    folder.run(folder.Folder(pictures, out), ask(), server=server, retry=RetryPolicy(4, 0.01, 0.05))
    """
)


@pytest.fixture
def begin(server: str, tmp_path: Path) -> Iterator[Callable[[Path], subprocess.Popen[str]]]:
    """Starts a run in a process of its own."""
    begun: list[subprocess.Popen[str]] = []

    def start(imgs: Path) -> subprocess.Popen[str]:
        command = [sys.executable, "-c", SCRIPT, str(imgs), str(tmp_path / "out"), server]
        environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
        begun.append(subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True))
        return begun[-1]

    yield start
    for process in begun:
        process.kill()
        process.communicate()


@pytest.mark.parametrize("after", [1, 5, 11, 23])
def test_killed_in_the_middle_and_run_again_no_item_is_done_twice_and_none_is_missing(
    after: int, begin: Any, run: Run, double: Painter, tmp_path: Path
) -> None:
    many = pictures(tmp_path / "many", *(f"{number}.png" for number in range(24)))
    process = begin(many)
    double.until(lambda: len(double.requests("EditRegion")) >= after, seconds=30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    report = run(pictures=many)
    assert report.ok and sum(report.counts.values()) == 24
    assert jobs_of(double) == {f"picture {number}.png".encode(): 1 for number in range(24)}
    assert set(written(tmp_path / "out")) == {f"{number}.png" for number in range(24)}
    lines = [line["item"] for line in journal(tmp_path / "out")]
    assert sorted(lines) == sorted({str(number) for number in range(24)})


def test_a_job_that_outlives_the_process_that_started_it_is_found_again(
    begin: Any, run: Run, double: Painter, imgs: Path
) -> None:
    double.by_hand = True
    process = begin(imgs)
    double.until(lambda: double.watchers == 3, seconds=30)
    process.send_signal(signal.SIGKILL)
    process.wait()
    double.until(lambda: double.watchers == 0)
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_QUEUED}
    for name in double.jobs:
        double.succeed(name)
    assert run().counts == {"succeeded": 3}
    assert len(double.jobs) == 3


def test_ctrl_c_cancels_running_items_and_a_later_run_does_them(
    begin: Any, run: Run, double: Painter, tmp_path: Path
) -> None:
    many = pictures(tmp_path / "many", *(f"{number}.png" for number in range(9)))
    double.by_hand = True
    process = begin(many)
    double.until(lambda: double.watchers == 4, seconds=30)
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=20)
    assert process.returncode != 0 and said.rstrip().endswith("KeyboardInterrupt")
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_CANCELLED}
    assert len(double.jobs) == 4
    assert [line["state"] for line in journal(tmp_path / "out")] == ["cancelled"] * 4
    facts = json.loads((tmp_path / "out/report.json").read_text())
    assert facts["counts"] == counted(items=9, cancelled=4, left=5) and not facts["complete"]
    assert facts["ended_by"]["reason"] == "CANCELLED"
    double.by_hand = False
    for history in double.jobs.values():
        del history[:-1]  # a server tells how a job stands, not how it once stood
    assert run(pictures=many).counts == {"succeeded": 9}
    assert sorted(jobs_of(double).values()) == [1] * 5 + [2] * 4


async def test_a_cancel_in_asyncio_reaches_a_job_whose_name_has_not_arrived(
    server: str, double: Painter, imgs: Path
) -> None:
    double.by_hand, double.pause = True, threading.Event()
    where = Folder(imgs, imgs.parent / "out")
    async with intarsia.AsyncClient(server, retry=QUICK) as client:
        task = asyncio.create_task(folder.run_async(client, where, ask()))
        await asyncio.to_thread(double.until, lambda: len(double.jobs) == 3)
        task.cancel()
        await asyncio.sleep(0)  # the cancel is on its way before the name is
        double.pause.set()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert {history[-1].state for history in double.jobs.values()} == {Job.STATE_CANCELLED}


def test_results_for_another_folder_are_drawn_anew(run: Run, double: Painter, imgs: Path) -> None:
    run()
    assert run(out=imgs.parent / "other").counts == {"succeeded": 3}
    assert set(jobs_of(double).values()) == {2}


def test_equal_pictures_are_two_items(run: Run, double: Painter, tmp_path: Path) -> None:
    twins = tmp_path / "twins"
    twins.mkdir()
    for name in ("a", "b"):
        (twins / f"{name}.png").write_bytes(b"picture")
    assert run(pictures=twins).counts == {"succeeded": 2}
    assert len(double.jobs) == 2


def test_an_empty_folder_is_done(run: Run, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    report = run(pictures=tmp_path / "empty")
    assert report.ok and told(report)["items"] == []


MEMORY = textwrap.dedent(
    """
    import json, sys, psutil
    from intarsia import folder
    from tests.intarsia.test_folder import ask

    process, sizes = psutil.Process(), []

    class Scale(folder.Listener):
        def on_item_end(self, item, entry):
            sizes.append(process.memory_info().rss)

    pictures, out, server = sys.argv[1:]
    folder.run(folder.Folder(pictures, out), ask(), server=server, listener=Scale())
    print(json.dumps(sizes))
    """
)


def test_memory_does_not_grow_with_the_items(tmp_path: Path) -> None:
    """200 pictures of 256 KB and as many results: were they held, that would be 100 MB in the end."""
    double = Painter()
    server, address = serve(double)
    double.chunk = 1 << 20
    root = tmp_path / "large"
    root.mkdir()
    for number in range(200):
        (root / f"{number}.png").write_bytes(b"picture %d " % number + bytes(1 << 18))
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", MEMORY, str(root), str(tmp_path / "out"), address]
    try:
        ran = subprocess.run(
            command, env=environment, capture_output=True, text=True, check=True, timeout=240
        )
    finally:
        server.stop(None).wait()
    sizes = json.loads(ran.stdout)
    settled = sizes[50:]
    assert len(sizes) == 200
    assert max(settled) - min(settled) < 16 << 20

"""Whole folders: what is written, and what a second run does again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia import errors
from intarsia.v1.jobs_pb2 import Job
from intarsia.v1.region_pb2 import POLARITY_WHITE_INSIDE
from tests.intarsia.folder.conftest import (
    OWN_MASK,
    Painter,
    Run,
    ask,
    counted,
    jobs_of,
    journal,
    pictures,
    states,
    told,
    written,
)


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


@pytest.mark.parametrize(
    "change", [{"time_limit": 90}, {"priority": 5}, {"labels": ["mural"]}, {"kind": "interactive"}], ids=str
)
def test_when_a_job_runs_is_no_part_of_what_is_done(change: dict[str, Any], run: Run, imgs: Path) -> None:
    run(ask(time_limit=60))
    assert run(ask(**change)).counts == {"skipped": 3}


def test_pictures_of_a_folder_are_batch_jobs_unless_it_says_otherwise(
    run: Run, imgs: Path, double: Painter
) -> None:
    run(ask(priority=2, labels=["mural"]))
    run(ask(steps=3, kind="interactive"))
    batch, others = double.requests("EditRegion")[:3], double.requests("EditRegion")[3:]
    assert [(one.job.kind, one.job.priority, one.job.labels) for one in batch] == [
        (Job.KIND_BATCH, 2, ["mural"])
    ] * 3
    assert {one.job.kind for one in others} == {Job.KIND_INTERACTIVE}


def test_a_link_in_the_results_never_leads_into_the_inputs(run: Run, imgs: Path) -> None:
    (imgs.parent / "out").mkdir()
    (imgs.parent / "out/sub").symlink_to(imgs / "sub")
    (imgs.parent / "out/a.png").symlink_to(imgs / "a.png")
    before = written(imgs)
    report = run()
    assert report.counts == {"failed": 3} and "remove it" in told(report)["items"][0]["message"]
    assert written(imgs) == before


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


def test_a_folder_without_pictures_is_refused(run: Run, double: Painter, tmp_path: Path) -> None:
    (tmp_path / "empty/below").mkdir(parents=True)
    (tmp_path / "empty/below/notes.txt").write_text("no picture")
    with pytest.raises(errors.InvalidRequest, match=r"holds no picture; name a folder of \.png, ") as refused:
        run(pictures=tmp_path / "empty")
    assert refused.value.field == "pictures"
    assert not double.jobs

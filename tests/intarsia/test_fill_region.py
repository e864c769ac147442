"""Fills, candidates, several edits, plans and adapters: what is said is what is sent, and what is written."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia import errors
from intarsia.presets import PRESETS
from intarsia.results import PictureResult
from intarsia.v1 import editing_pb2, region_pb2, results_pb2
from tests.intarsia.double import Double

HOLE = intarsia.rectangle(1, 2, 30, 40)


@pytest.fixture
def style(tmp_path: Path) -> Path:
    path = tmp_path / "style.safetensors"
    path.write_bytes(b"some tensors")
    return path


@pytest.mark.parametrize("said", [str, Path, lambda path: [path]], ids=["str", "path", "list"])
def test_an_adapter_is_given_by_itself_or_in_a_list(
    client: intarsia.Client, double: Double, photo: Path, style: Path, said: Any
) -> None:
    client.fill_region(photo, HOLE, adapters=said(style))
    (sent,) = double.requests("FillRegion")
    assert [(one.adapter, one.strength) for one in sent.job.adapters] == [(double.keep(b"some tensors"), 1.0)]


def test_all_that_is_given_is_sent(client: intarsia.Client, double: Double, photo: Path, style: Path) -> None:
    client.fill_region(
        photo,
        HOLE,
        "a star",
        negative_prompt="text",
        seed=7,
        candidates=3,
        layout="tiles",
        overlap=16,
        margin=0,
        match_colours=True,
        adapters={str(style): 0.5},
        views=["overlay", "layer"],
        spacing=(5, 6),
        captions=["one", "two", "seed {seed}"],
        request_id="an-id",
    )
    (sent,) = double.requests("FillRegion")
    collage = editing_pb2.Collage(
        spacing_horizontal=5, spacing_vertical=6, captions=["one", "two", "seed {seed}"]
    )
    expected = editing_pb2.FillRegionRequest(
        region=HOLE.proto,
        prompt="a star",
        negative_prompt="text",
        margin=0,
        job=editing_pb2.PictureJob(
            picture=sent.job.picture,
            sampling=editing_pb2.Sampling(seed=7),
            cut=editing_pb2.Cut(layout=editing_pb2.LAYOUT_TILES, overlap=16),
            output=editing_pb2.Output(
                views=[results_pb2.View.KIND_OVERLAY, results_pb2.View.KIND_LAYER], collage=collage
            ),
            candidates=3,
            match_colours=True,
            adapters=[editing_pb2.AdapterUse(adapter=double.keep(b"some tensors"), strength=0.5)],
            request_id="an-id",
        ),
    )
    expected.job.watched_within.FromSeconds(30)
    assert sent == expected and double.stored[sent.job.picture] == photo.read_bytes()


def test_a_fill_ends_with_its_own_result(client: intarsia.Client, photo: Path) -> None:
    result = client.fill_region(photo, HOLE, candidates=2).result(timeout=10)
    assert isinstance(result, PictureResult)
    assert client.read(result.picture) == b"a filled picture"
    assert [one.seed for one in result.candidates] == [7, 8]


def test_further_edits_bring_their_own_masks(
    client: intarsia.Client, double: Double, photo: Path, tmp_path: Path
) -> None:
    (tmp_path / "sky.png").write_bytes(b"a mask of the sky")
    sky = intarsia.mask(tmp_path / "sky.png", inside="white")
    client.edit_region(photo, HOLE, "one", further=[(sky, "two"), (HOLE, "three", "not that")])
    (sent,) = double.requests("EditRegion")
    assert [(each.instruction, each.negative_instruction) for each in sent.further_edits] == [
        ("two", ""),
        ("three", "not that"),
    ]
    assert double.stored[sent.further_edits[0].region.mask.artifact] == b"a mask of the sky"


@pytest.mark.parametrize(
    ("settings", "field"),
    [
        ({"candidates": 0}, "candidates"),
        ({"candidates": -1}, "candidates"),
        ({"layout": "mosaic"}, "cut.layout"),
        ({"views": ["x-ray"]}, "output.views"),
        ({"spacing": (-1, 0)}, "output.collage.spacing_horizontal"),
        ({"margin": -4}, "margin"),
    ],
)
def test_what_cannot_be_sent_is_refused_here(
    client: intarsia.Client, double: Double, photo: Path, settings: Any, field: str
) -> None:
    with pytest.raises(errors.InvalidRequest) as refused:
        client.fill_region(photo, HOLE, **settings)
    assert refused.value.field == field
    assert not double.requests("FillRegion")


def test_an_unknown_setting_is_a_programming_error(client: intarsia.Client, photo: Path) -> None:
    with pytest.raises(TypeError, match="strenght"):
        client.fill_region(photo, HOLE, strenght=1)  # type: ignore[call-arg]


def test_a_plan_starts_nothing(client: intarsia.Client, double: Double, photo: Path) -> None:
    request = client.edit_request(HOLE, "make it blue", candidates=2)
    plan = client.plan_region(photo, request)
    assert (plan.steps, plan.candidates) == (20, 2)
    (sent,) = double.requests("PlanRegion")
    assert sent.edit_region.instruction == "make it blue" and sent.edit_region.job.picture
    assert not double.jobs


def test_a_fill_from_a_shell_writes_everything_beside_the_picture(
    told: Any, double: Double, photo: Path, tmp_path: Path
) -> None:
    code, out, err = told(
        "fill-region", photo, "--rectangle", "1,2,30,40", "--candidates", 2, "--view", "overlay",
        "--view", "layer", "--collage", "-o", "out.webp",
    )  # fmt: skip
    assert (code, err) == (0, "") and out.startswith("out.webp: seed 7")
    written = {path.name: path.read_bytes() for path in tmp_path.glob("out*")}
    assert written == {
        "out.webp": b"a filled picture",
        "out_2.webp": b"candidate 2",
        "out_layer.png": b"view 4 of 1",
        "out_2_layer.png": b"view 4 of 2",
        "out_overlay.png": b"view 2",
        "out_collage.png": b"a collage",
    }


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ("--candidates 2 -o FOLDER/photo.png", "the input itself"),
        ("--view layer -o FOLDER/photo.webp", "the input itself"),
        ("--collage -o FOLDER/out.webp --save-mask FOLDER/out_collage.png", "named twice"),
        ("--candidates 2 -o -", "several files"),
    ],
)
def test_what_is_written_beside_the_picture_replaces_nothing(
    told: Any, double: Double, tmp_path: Path, options: str, says: str
) -> None:
    for name in ("photo_2.png", "photo_layer.png"):
        (tmp_path / name).write_bytes(b"a picture")
    picture = tmp_path / ("photo_layer.png" if "layer" in options else "photo_2.png")
    words = options.replace("FOLDER", str(tmp_path)).split()
    code, _, err = told("fill-region", picture, "--rectangle", "1,2,30,40", *words)
    assert code == 2 and says in err and not double.jobs
    assert picture.read_bytes() == b"a picture"


def test_masks_of_damage_are_read_as_black_and_white(told: Any, double: Double, photo: Path) -> None:
    (photo.parent / "mask.png").write_bytes(b"a mask")
    fill = ("fill-region", photo, "--mask", "mask.png", "--inside", "black", "-o", "out.png")
    assert told(*fill)[0] == 0 and told(*fill, "--mask-threshold", "0.25")[0] == 0
    assert (
        told("edit-region", photo, "--mask", "mask.png", "--inside", "black", "-i", "x", "-o", "out.png")[0]
        == 0
    )
    usual, said = double.requests("FillRegion")
    assert usual.region.mask.threshold == pytest.approx(128 / 255)
    assert said.region.mask.threshold == 0.25
    assert not double.requests("EditRegion")[0].region.mask.HasField("threshold")


def test_presets_say_what_is_not_said(told: Any, double: Double, photo: Path) -> None:
    fill = ("fill-region", photo, "--rectangle", "1,2,30,40", "-o", "out.png")
    for more in ((), ("--preset", "mural"), ("--preset", "mural", "--negative-prompt", "")):
        assert told(*fill, *more)[0] == 0
    plain, preset, own = double.requests("FillRegion")
    mural = PRESETS["mural"]
    assert (plain.prompt, plain.negative_prompt) == ("", "")
    assert (preset.prompt, preset.negative_prompt) == (mural.prompt, mural.negative_prompt)
    assert (own.prompt, own.negative_prompt) == (mural.prompt, "")


def test_several_edits_in_one_command(told: Any, double: Double, photo: Path) -> None:
    code, _, err = told(
        "edit-region", photo, "--click", "1,2", "-i", "make it blue", "--then", "--box", "1,2,3,4",
        "--grow", "3", "-i", "remove it", "--negative-instruction", "red", "-o", "out.png",
    )  # fmt: skip
    assert (code, err) == (0, "")
    (sent,) = double.requests("EditRegion")
    assert sent.region.clicks.clicks[0].x == 1 and sent.instruction == "make it blue"
    (further,) = sent.further_edits
    assert (further.instruction, further.negative_instruction) == ("remove it", "red")
    assert further.region.box.right == 3 and further.region.shaping.grow == 3


def test_a_plan_from_a_shell(told: Any, double: Double, photo: Path) -> None:
    code, out, _ = told("edit-region", photo, "--click", "1,2", "-i", "make it blue", "--plan")
    assert code == 0 and not double.jobs
    assert "2 tiles of 64 x 72" in out and "about 1.5 s" in out and "the region is large" in out
    code, out, _ = told("fill-region", photo, "--rectangle", "1,2,3,4", "--plan", "--json")
    assert json.loads(out)["plan"]["steps"] == 20


def test_adapters_are_shown_and_named_with_their_strength(
    told: Any, double: Double, photo: Path, style: Path
) -> None:
    code, out, _ = told("adapters", "show", style, "--model", "ip2p_unet")
    assert code == 0 and "lora of rank 4 in kohya keys: 16 layers" in out and "made: by hand" in out
    edit = ("edit-region", photo, "--click", "1,2", "-i", "x", "-o", "out.png")
    assert told(*edit, "--adapter", f"{style}:0.25", "--adapter", photo)[0] == 0
    (sent,) = double.requests("EditRegion")
    assert [each.strength for each in sent.job.adapters] == [0.25, 1.0]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ("fill-region --rectangle 1,2,3,4 -o out.png", "PICTURE"),
        ("fill-region PHOTO -o out.png", "name a region"),
        ("fill-region PHOTO --rectangle 1,2,3,4", "--output"),
        ("fill-region PHOTO --rectangle 1,2,3,4 -o out.png --candidates 0", "--candidates"),
        ("fill-region PHOTO --rectangle 1,2,3,4 -o out.png --adapter nowhere:1", "nowhere"),
        ("fill-region PHOTO --rectangle 1,2,3,4 -o out.png --adapter PHOTO --adapter PHOTO:2", "twice"),
        ("fill-region PHOTO --rectangle 1,2,3,4 -o out.png --captions one two", "--captions"),
        ("edit-region PHOTO --click 1,2 -o out.png", "--instruction"),
        ("edit-region PHOTO --click 1,2 -i x --then -i y -o out.png", "name a region"),
        ("edit-region PHOTO --click 1,2 -i x -i y -o out.png", "--instruction"),
    ],
)
def test_a_wrong_option_is_named(told: Any, double: Double, photo: Path, arguments: str, says: str) -> None:
    code, out, err = told(*arguments.replace("PHOTO", str(photo)).split())
    assert code == 2 and says in err and not out
    assert not double.jobs


def test_regions_reach_the_wire_whole(client: intarsia.Client, double: Double, photo: Path) -> None:
    where = (intarsia.words("yellow dress", not_words=["red dress"]) | HOLE) - intarsia.click(3, 4)
    client.fill_region(photo, where)
    (sent,) = double.requests("FillRegion")
    terms = sent.region.combination.terms
    assert [term.operation for term in terms] == [
        region_pb2.Term.OPERATION_PLUS,
        region_pb2.Term.OPERATION_PLUS,
        region_pb2.Term.OPERATION_MINUS,
    ]


def test_a_removal_needs_a_region_and_nothing_else(
    client: intarsia.Client, double: Double, photo: Path
) -> None:
    result = client.remove_region(photo, HOLE, seed=7).result()
    (sent,) = double.requests("RemoveRegion")
    assert (sent.region, sent.job.sampling.seed) == (HOLE.proto, 7)
    assert sent.job.picture == double.keep(photo.read_bytes())
    assert isinstance(result, PictureResult)

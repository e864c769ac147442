"""Options that describe regions."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import intarsia
from intarsia import errors
from intarsia.cli import main, regions
from intarsia.cli.usage import Usage
from intarsia.v1 import region_pb2
from tests.intarsia.cli.conftest import Ran, lines
from tests.intarsia.double import Double, Fault


@pytest.mark.parametrize(
    ("options", "selector"),
    [
        (["--box", "1,2,3,4"], {"box": {"left": 1, "top": 2, "right": 3, "bottom": 4}}),
        (["--box", "-5,-1.5,30,4"], {"box": {"left": -5, "top": -1.5, "right": 30, "bottom": 4}}),
        (
            ["--polygon", "-1,-1 9,1 1,9"],
            {"polygon": {"corners": [{"x": -1, "y": -1}, {"x": 9, "y": 1}, {"x": 1, "y": 9}]}},
        ),
        (["--rectangle", "1,2,3,4"], {"box": {"left": 1, "top": 2, "right": 3, "bottom": 4, "exact": True}}),
        (
            ["--polygon", "1,1 9,1 1,9"],
            {"polygon": {"corners": [{"x": 1, "y": 1}, {"x": 9, "y": 1}, {"x": 1, "y": 9}]}},
        ),
        (
            ["--words", "yellow dress", "--threshold", "0.25"],
            {"words": {"phrase": "yellow dress", "threshold": 0.25}},
        ),
        (
            ["--words", "dress", "--not-words", "belt", "--not-at", "1,2", "--not-words", "hat"],
            {"words": {"phrase": "dress", "not_phrases": ["belt", "hat"], "not_at": [{"x": 1, "y": 2}]}},
        ),
        (
            ["--box", "1,2,3,4", "--correct", "5,6", "--correct-not", "7,8", "--correct", "9,9"],
            {
                "box": {"left": 1, "top": 2, "right": 3, "bottom": 4},
                "corrections": [{"x": 5, "y": 6}, {"x": 9, "y": 9}, {"x": 7, "y": 8, "outside": True}],
            },
        ),
    ],
)
def test_the_ways_to_say_where(
    options: list[str],
    selector: dict,
    server: str,
    double: Double,
    photo: Path,
    capsys: pytest.CaptureFixture,
) -> None:
    assert main(["segment-region", str(photo), *options, "--server", server]) == 0
    assert double.requests("SegmentRegion")[0].region == region_pb2.Region(**selector)


def test_a_mask_is_sent_with_its_settings(server: str, double: Double, photo: Path) -> None:
    options = ["--mask", str(photo), "--inside", "opaque", "--mask-threshold", "0.5", "--fit-mask"]
    assert main(["segment-region", str(photo), *options, "--server", server]) == 0
    mask = double.requests("SegmentRegion")[0].region.mask
    assert double.stored[mask.artifact] == photo.read_bytes()
    assert mask.polarity == region_pb2.POLARITY_OPAQUE_INSIDE
    assert (mask.threshold, mask.fit) == (0.5, True)


def test_regions_are_put_together_in_the_order_they_are_said(
    server: str, double: Double, photo: Path, tmp_path: Path
) -> None:
    other = tmp_path / "mask.png"
    other.write_bytes(b"a mask")
    options = "--words dress --grow 2 --minus --box 1,2,30,40 --plus --click 3,4 --click 5,6 --feather 3"
    options += (
        f" --choose 1 --within --mask {other} --inside white --invert --minus --mask {photo} --inside black"
    )
    assert main(["segment-region", str(photo), *options.split(), "--server", server]) == 0
    sent = double.requests("SegmentRegion")[0].region
    masks = [double.keep(content) for content in (b"a mask", photo.read_bytes())]
    dress, *others = (
        intarsia.words("dress").grown(2),
        intarsia.box(1, 2, 30, 40),
        intarsia.clicks((3, 4), (5, 6)).choosing(1),
        intarsia.mask(masks[0], inside="white").inverted(),
        intarsia.mask(masks[1], inside="black"),
    )
    whole = ((((dress - others[0]) | others[1]) & others[2]) - others[3]).feathered(3)
    assert sent == whole.proto


def test_relative_applies_to_all_coordinates(server: str, double: Double, photo: Path) -> None:
    options = "--click .1,.2 --minus --relative --click .3,.4"
    assert main(["segment-region", str(photo), *options.split(), "--server", server]) == 0
    terms = double.requests("SegmentRegion")[0].region.combination.terms
    assert [term.region.units for term in terms] == [region_pb2.UNITS_RELATIVE] * 2


def test_the_options_of_several_edits_are_kept_apart() -> None:
    said = (("relative", True), ("click", (0.1, 0.2)), ("then", True), ("words", "hat"), ("plus", True))
    said += (("click", (0.3, 0.4)),)
    first, second = regions.parts(said)
    assert regions.region(first).proto == intarsia.click(0.1, 0.2).relative().proto
    both = intarsia.words("hat") | intarsia.click(0.3, 0.4)
    assert regions.region(second).proto == both.relative().proto


def test_the_mask_of_each_picture_of_a_folder_is_a_region_like_others() -> None:
    said = (("inside", "white"), ("grow", 2.0), ("minus", True), ("box", (1.0, 2.0, 3.0, 4.0)))
    own = intarsia.mask(None, inside="white").grown(2)
    assert regions.region(said, masked=True).proto == (own - intarsia.box(1, 2, 3, 4)).proto
    with pytest.raises(Usage, match="--inside needs --mask"):
        regions.region(said)


def test_segmenting_writes_the_mask_and_says_what_was_found(
    cli: Callable[..., Ran], photo: Path, tmp_path: Path
) -> None:
    ran = cli("segment-region", photo, "--click", "120,80", "-o", "mask.png")
    assert ran.stdout.splitlines() == [
        "candidate 0: score 0.88, stability 0.95, box 1,2,30,40, 900 pixels",
        "mask.png: score 0.88, stability 0.95, box 1,2,30,40, 900 pixels",
        "  note: CMYK was converted to RGB",
    ]
    assert (tmp_path / "mask.png").read_bytes() == b"a mask"
    (line,) = lines(cli("segment-region", photo, "--click", "120,80", "--json"))
    assert line["segmentation"]["region"]["score"] == 0.875
    assert line["segmentation"]["width"] == 64


def test_every_candidate_is_written_to_a_folder(
    cli: Callable[..., Ran], double: Double, photo: Path, tmp_path: Path
) -> None:
    double.candidates = 3
    ran = cli("segment-region", photo, "--words", "dress", "--save-all", "found")
    assert ran.stdout.splitlines()[:3] == [
        f"found/candidate_{n}.png: score {score}, stability 0.95, box 1,2,30,40, 900 pixels"
        for n, score in enumerate(("0.88", "0.44", "0.29"))
    ]
    contents = [(tmp_path / "found" / f"candidate_{n}.png").read_bytes() for n in range(3)]
    assert contents == [b"a mask", b"a mask 1", b"a mask 2"]
    (line,) = lines(cli("segment-region", photo, "--words", "dress", "--save-all", "found", "--json"))
    assert line["segmentation"]["candidate_outputs"] == [f"found/candidate_{n}.png" for n in range(3)]


def test_no_candidate_is_written_over_the_picture(photo: Path, capsys: pytest.CaptureFixture[str]) -> None:
    picture = photo.rename(photo.with_name("candidate_7.png"))
    folder = str(picture.parent)
    assert main(["segment-region", str(picture), "--click", "1,2", "--save-all", folder]) == 2
    assert "--force" in capsys.readouterr().err
    assert picture.read_bytes()


@pytest.mark.parametrize(
    ("field", "named"),
    [
        ("region.box.right", "--box or --rectangle"),
        ("region.words.not_phrases[2]", "--not-words"),
        ("region.combination.terms[1].region.box.right", "--box or --rectangle (region 2)"),
        ("region.combination.terms[1].operation", "--plus, --minus or --within"),
        ("region.corrections[0].x", "--correct or --correct-not"),
        ("further_edits[0].region.mask.threshold", "--mask-threshold (edit 2)"),
        ("further_edits[1].region.combination.terms[0].region.mask.fit", "--fit-mask (edit 3, region 1)"),
    ],
)
def test_a_refused_part_of_a_region_is_named_by_its_option(
    field: str, named: str, cli: Callable[..., Ran], double: Double, photo: Path
) -> None:
    double.faults["SegmentRegion"] += [Fault(errors.InvalidRequest("is wrong", field=field))]
    ran = cli("segment-region", photo, "--click", "1,2")
    assert (ran.returncode, ran.stderr) == (2, f"intarsia: {named}: is wrong\n")

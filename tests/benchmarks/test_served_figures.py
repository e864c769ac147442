"""What is concluded from served answers and a card."""

from __future__ import annotations

import numpy as np
import pytest

from benchmarks.served_figures import SECTIONS, CardSection, compare, main, photo_region, promises
from training.recipes.edit_measure import PhotoKind
from training.recipes.figure import Figure


def figures(said):
    return [
        Figure("hits", said["hit"], 0.9, 1.0),
        Figure("misses", said["miss"], 0.2, 0.1, least=True),
        Figure("idle", said["hit"]),
    ]


CARD = {
    "figures": [
        Figure("hits", 0.8, 0.9, 1.0).plain(),
        Figure("misses", 0.2, 0.2, 0.1, least=True).plain(),
        Figure("idle", 0.5).plain(),
    ]
}
PART = CardSection("darts", "darts", lambda service, count: [], figures)


def rows(hit: float, miss: float, count: int) -> list[dict[str, float]]:
    """Means as given, each with a standard error of 0.1."""
    sway = 0.1 * (count - 1) ** 0.5
    return [{"hit": hit + sign * sway, "miss": miss + sign * sway} for sign in [1, -1] * (count // 2)]


def verdicts(hit: float, miss: float, count: int = 4) -> list[str]:
    return [str(line["verdict"]) for line in compare(PART, rows(hit, miss, count), promises(CARD))]


def test_a_promise_is_kept_up_to_two_standard_errors():
    assert verdicts(0.8, 0.2) == ["kept", "kept"]
    assert verdicts(0.61, 0.39) == ["kept", "kept"]
    assert verdicts(0.59, 0.2) == ["missed", "kept"]


def test_where_less_is_better_more_is_worse():
    assert verdicts(0.9, 0.41) == ["kept", "missed"]
    assert verdicts(0.9, 0.0) == ["kept", "kept"]


def test_a_line_says_how_sure_it_is():
    first, second = compare(PART, rows(0.7, 0.3, 4), promises(CARD))
    assert (first["metric"], first["n"], first["served"], first["card"]) == ("hits", 4, 0.7, 0.8)
    assert first["difference"] == pytest.approx(-0.1) and first["noise"] == pytest.approx(0.2)
    assert second["difference"] == pytest.approx(0.1)


def test_only_what_the_card_says_is_a_promise():
    assert promises(CARD) == {"hits": 0.8, "misses": 0.2}
    (line,) = compare(PART, rows(0.7, 0.3, 4), {"misses": 0.2})
    assert line["metric"] == "misses"


def test_a_section_that_no_card_promises_is_not_measured():
    assert PART.is_in(promises(CARD)) and not PART.is_in({})
    photos = [part for part in SECTIONS if part.name.startswith("photos")]
    for part in photos:
        (metric, *_) = (figure.metric for figure in part.figures({"photo recolour right": 1.0}))
        assert part.is_in([metric]) and not part.is_in(promises(CARD))
    assert len(photos) == 3


def test_weights_without_a_card_promise_nothing(tmp_path, capsys):
    folder = tmp_path / "ip2p/unet"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    with pytest.raises(SystemExit):
        main(["--weights", str(tmp_path)])
    assert "no bundle has a card" in capsys.readouterr().err


def test_regions_of_photos_come_in_every_way_and_have_room_for_another_shape():
    ways = set()
    for number, (photo, case) in enumerate(PhotoKind().cases("validation", 16)):
        whole = photo.versions
        inside = np.zeros((whole.height, whole.width), bool)
        inside[photo.crop.window] = case.before
        region = photo_region(number, photo, case, inside)
        way = "rectangle" if region.proto.box.exact else region.proto.WhichOneof("selector")
        ways.add(way)
        assert case.edit.kind not in ("reshape", "replace") or way in ("rectangle", "mask")
    assert ways == {"rectangle", "box", "words", "mask", "clicks"}

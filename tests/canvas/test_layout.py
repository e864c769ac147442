"""Layouts: one sheet that fits, or tiles that cover the region."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from canvas.box import PixelBox
from canvas.layout import Cut, Layout, blend, lay_out
from intarsia.errors import EmptyRegion, InvalidRequest


def masked(height: int, width: int, box: PixelBox) -> np.ndarray:
    mask = np.zeros((height, width), np.float32)
    mask[box.window] = 1
    return mask


def test_a_small_region_is_one_sheet() -> None:
    laid = lay_out(masked(500, 700, PixelBox(100, 100, 140, 140)), Cut(), size=128, multiple=8, tiled=True)
    (sheet,) = laid.sheets
    assert sheet.box == laid.crop == PixelBox(80, 80, 160, 160)
    assert (sheet.working.width, sheet.working.height) == (80, 80)


def test_a_large_region_is_scaled_down_unless_it_is_tiled() -> None:
    mask = masked(500, 700, PixelBox(100, 100, 400, 300))
    (sheet,) = lay_out(mask, Cut(), size=128, multiple=8).sheets
    assert max(sheet.working.width, sheet.working.height) == 128
    assert len(lay_out(mask, Cut(), size=128, multiple=8, tiled=True).sheets) > 4
    assert len(lay_out(mask, Cut(layout=Layout.FIT), size=128, multiple=8, tiled=True).sheets) == 1


@pytest.mark.parametrize(("side", "working"), [(20, 128), (64, 128), (65, 256), (120, 256), (200, 256)])
def test_a_sheet_has_the_smallest_listed_size_that_holds_the_crop(side: int, working: int) -> None:
    mask = masked(500, 700, PixelBox(100, 100, 100 + side, 100 + side // 2))
    (sheet,) = lay_out(mask, Cut(), size=128, multiple=8, sizes=(256, 128)).sheets
    assert sheet.working.scaled.width == working
    (asked,) = lay_out(mask, Cut(working_size=96), size=128, multiple=8, sizes=(256, 128)).sheets
    assert asked.working.scaled.width == 96


def test_listed_sizes_change_no_tiles() -> None:
    mask = masked(500, 700, PixelBox(100, 100, 400, 300))
    tiles = [lay_out(mask, Cut(), size=128, multiple=8, sizes=of, tiled=True) for of in ((), (256,))]
    assert tiles[0] == tiles[1]


def test_a_kept_crop_is_not_scaled() -> None:
    mask = masked(500, 700, PixelBox(100, 100, 301, 203))
    (sheet,) = lay_out(mask, Cut(layout=Layout.KEEP), size=128, multiple=8).sheets
    assert (sheet.working.scaled.width, sheet.working.scaled.height) == (sheet.box.width, sheet.box.height)


def test_a_crop_too_large_to_be_kept_is_refused() -> None:
    with pytest.raises(InvalidRequest, match="own resolution") as refused:
        lay_out(masked(100, 5000, PixelBox(0, 0, 5000, 50)), Cut(layout=Layout.KEEP), size=128, multiple=8)
    assert refused.value.field == "cut.layout"


def test_the_whole_picture_can_be_the_crop() -> None:
    laid = lay_out(masked(50, 300, PixelBox(4, 4, 9, 9)), Cut(layout=Layout.WHOLE), size=128, multiple=8)
    assert laid.crop == PixelBox(0, 0, 300, 50)


def test_an_empty_region_has_no_layout() -> None:
    with pytest.raises(EmptyRegion):
        lay_out(np.zeros((50, 50), np.float32), Cut(), size=128, multiple=8)


@settings(max_examples=80, deadline=None)
@given(
    height=st.integers(1, 400),
    width=st.integers(1, 400),
    place=st.tuples(*[st.floats(0, 1)] * 4),
    overlap=st.one_of(st.none(), st.integers(0, 100)),
)
def test_tiles_cover_the_region_at_its_own_resolution(height, width, place, overlap) -> None:
    top, bottom = sorted((int(place[0] * (height - 1)), int(place[1] * (height - 1))))
    left, right = sorted((int(place[2] * (width - 1)), int(place[3] * (width - 1))))
    mask = masked(height, width, PixelBox(left, top, right + 1, bottom + 1))
    cut = Cut(layout=Layout.TILES, overlap=overlap)
    laid = lay_out(mask, cut, size=64, multiple=8)
    covered = np.zeros(mask.shape, bool)
    for sheet in laid.sheets:
        box = sheet.box
        assert 0 <= box.left < box.right <= width and 0 <= box.top < box.bottom <= height
        assert (sheet.working.scaled.width, sheet.working.scaled.height) == (box.width, box.height)
        assert max(box.width, box.height) <= max(64, laid.crop.width if len(laid.sheets) == 1 else 0, 64)
        covered[box.window] = True
    assert covered[mask > 0].all()


def test_a_tile_covers_new_pixels_and_fades_into_earlier_tiles() -> None:
    hole = np.zeros((8, 40), bool)
    hole[2:6, :] = True
    remaining = hole.copy()
    remaining[:, :20] = False
    alpha = blend(remaining, hole, overlap=18)
    assert (alpha[remaining] == 1).all() and not alpha[~hole].any()
    row = alpha[3, :20]
    assert (np.diff(row) >= 0).all() and row[9] == 0 and 0 < row[15] < 1
    assert not blend(np.zeros_like(hole), hole, 18).any()


def test_a_tile_that_would_add_nothing_is_left_out() -> None:
    mask = np.zeros((100, 160), np.float32)
    mask[:, :60], mask[10, 60:70] = 1, 1
    boxes = [
        sheet.box
        for sheet in lay_out(
            mask, Cut(context=0, layout=Layout.TILES, overlap=32), size=80, multiple=8
        ).sheets
    ]
    assert len(boxes) == 2 and {box.left for box in boxes} == {0}

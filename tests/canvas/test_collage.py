import numpy as np
import pytest

from canvas.collage import CollageRow, Grid, Spacing, bands
from tests.canvas.drawing import random_picture


def test_the_sheet_is_as_measured():
    """256 x 256 in four rows with the usual spacing."""
    grid = Grid(256, 256, 4)
    assert (grid.sheet_width, grid.sheet_height) == (808, 1084)
    assert grid.lefts == (0, 276, 552)


@pytest.mark.parametrize(
    ("height", "strip", "size"),
    [(256, 34, 16), (425, 34, 16), (426, 34, 16), (1000, 80, 38), (3000, 240, 115)],
)
def test_captions_have_a_strip_below_every_row(height, strip, size):
    grid = Grid(300, height, 3, Spacing(7, 11), captioned=True)
    assert (grid.strip, grid.font_size) == (strip, size)
    assert grid.sheet_height == 3 * (height + strip) + 2 * 11
    assert grid.sheet_width == 3 * 300 + 2 * 7
    assert Grid(300, height, 3).strip == 0


@pytest.mark.parametrize("rows", [1, 4])
@pytest.mark.parametrize(("height", "width"), [(1, 1), (301, 7), (33, 257)])
@pytest.mark.parametrize("spacing", [Spacing(), Spacing(0, 0), Spacing(5, 1)])
@pytest.mark.parametrize("depth", [np.uint8, np.uint16])
def test_every_pixel_is_where_it_belongs(rows, height, width, spacing, depth):
    grid = Grid(width, height, rows, spacing)
    original = random_picture(height, width, depth)
    mask = np.random.default_rng(5).random((height, width)).astype(np.float32)
    results = [random_picture(height, width, depth, seed=1 + n) for n in range(rows)]
    sheet = np.concatenate(
        [
            band
            for n, result in enumerate(results)
            for band in bands(CollageRow(original, mask, result), grid, None, first=n == 0)
        ]
    )
    white = np.iinfo(depth).max
    assert sheet.shape == (
        rows * height + (rows - 1) * spacing.vertical,
        3 * width + 2 * spacing.horizontal,
        3,
    )
    expected = np.full(sheet.shape, white, depth)
    painted = original.copy()
    painted[mask >= 0.5] = white
    for n, result in enumerate(results):
        top = n * (height + spacing.vertical)
        for place, panel in enumerate((original, painted, result)):
            left = place * (width + spacing.horizontal)
            expected[top : top + height, left : left + width] = panel
    assert np.array_equal(sheet, expected)


def test_a_result_of_fewer_bits_is_shown_as_bright():
    original, result = random_picture(9, 7, np.uint16), random_picture(9, 7, seed=1)
    row = CollageRow(original, np.zeros((9, 7), np.float32), result)
    (sheet,) = bands(row, Grid(7, 9, 1), None, first=True)
    assert sheet.dtype == np.uint16 and np.array_equal(sheet[:, -7:], result.astype(np.uint16) * 257)
    assert np.array_equal(sheet[:, :7], original)


def test_bands_are_small():
    row = CollageRow(
        np.zeros((2000, 30, 3), np.uint8), np.zeros((2000, 30), np.float32), np.zeros((2000, 30, 3), np.uint8)
    )
    assert max(len(band) for band in bands(row, Grid(30, 2000, 1), None, first=True)) <= 256

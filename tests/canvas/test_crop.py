import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from canvas.crop import PixelBox, WorkingSize, crop_around, working_size
from canvas.mask import bounding_box
from intarsia.errors import EmptyRegion
from tests.canvas.drawing import masks

boxes = st.builds(
    lambda left, top, width, height: PixelBox(left, top, left + width, top + height),
    *(st.integers(0, 50), st.integers(0, 50), st.integers(1, 3000), st.integers(1, 3000)),
)


def region(height, width, box):
    mask = np.zeros((height, width), np.float32)
    mask[box.window] = 1
    return mask


def test_a_region_in_the_corner_keeps_its_full_context():
    mask = region(256, 256, PixelBox(0, 0, 40, 40))
    assert crop_around(mask, context=0.5) == PixelBox(0, 0, 80, 80)


def test_a_region_in_the_middle_has_the_same_context_on_every_side():
    mask = region(400, 500, PixelBox(200, 100, 300, 140))
    assert crop_around(mask, context=0.5) == PixelBox(150, 80, 350, 160)


def test_a_window_slides_inward_at_the_far_edge_too():
    mask = region(256, 300, PixelBox(260, 216, 300, 256))
    assert crop_around(mask, context=1.0) == PixelBox(180, 136, 300, 256)


def test_a_region_of_one_pixel_has_a_crop_of_64():
    crop = crop_around(region(200, 300, PixelBox(150, 100, 151, 101)), context=0.5)
    assert (crop.width, crop.height) == (64, 64)
    assert crop.left <= 150 - 31 and crop.right >= 151 + 31


def test_a_small_picture_is_its_own_crop():
    assert crop_around(region(9, 7, PixelBox(1, 1, 2, 2)), context=8) == PixelBox(0, 0, 7, 9)


def test_a_crop_around_nothing_is_an_error():
    with pytest.raises(EmptyRegion):
        crop_around(np.zeros((10, 10), np.float32), context=0.5)


@given(masks(), st.floats(0, 8))
def test_the_crop_holds_the_region_and_lies_in_the_picture(mask, context):
    height, width = mask.shape
    crop, box = crop_around(mask, context=context), bounding_box(mask)
    assert 0 <= crop.left <= box.left < box.right <= crop.right <= width
    assert 0 <= crop.top <= box.top < box.bottom <= crop.bottom <= height
    assert crop.width >= min(width, 64, box.width * (1 + 2 * context))


def test_a_crop_of_a_fitting_size_is_worked_at_its_own():
    working = working_size(PixelBox(3, 5, 3 + 320, 5 + 256), smallest=128, largest=512)
    assert working == WorkingSize(320, 256, 0, 0, 320, 256)


def test_an_odd_crop_is_padded_not_squashed():
    assert working_size(PixelBox(0, 0, 301, 203), smallest=128, largest=512) == WorkingSize(
        304, 208, 1, 2, 302, 205
    )


def test_a_thin_strip_gets_a_sheet_a_model_can_work_on():
    working = working_size(PixelBox(0, 0, 7680, 100), smallest=128, largest=512)
    assert (working.width, working.height) == (512, 64)
    assert working.scaled.height == 7


def test_an_exact_size_overrules_the_limits():
    assert working_size(PixelBox(0, 0, 100, 50), smallest=128, largest=512, exact=768).width == 768


@given(boxes, st.integers(64, 512), st.integers(0, 1000), st.sampled_from([8, 16, 64]))
def test_sheets_meet_the_multiple_and_keep_the_aspect(crop, smallest, more, multiple):
    working = working_size(crop, smallest=smallest, largest=smallest + more, multiple=multiple)
    scaled = working.scaled
    assert working.width % multiple == 0 and working.height % multiple == 0
    assert min(working.width, working.height) >= 64
    assert 0 <= scaled.left < scaled.right <= working.width
    assert 0 <= scaled.top < scaled.bottom <= working.height
    assert smallest <= max(scaled.width, scaled.height) <= smallest + more
    scale = max(scaled.width, scaled.height) / max(crop.width, crop.height)
    assert abs(scaled.width - crop.width * scale) <= 0.5 or scaled.width == 1
    assert abs(scaled.height - crop.height * scale) <= 0.5 or scaled.height == 1
    for side, inner in ((working.width, scaled.width), (working.height, scaled.height)):
        assert side - inner < multiple or side < 64 + multiple

import numpy as np
import pytest

from canvas.seam import match_colours

depths = pytest.mark.parametrize("depth", [np.uint8, np.uint16])


def scene(depth: type = np.uint8, side: int = 160) -> np.ndarray:
    """Soft colours well within the range, with texture."""
    rng = np.random.default_rng(3)
    down, across = np.mgrid[0 : 1 : side * 1j, 0 : 1 : side * 1j]
    soft = np.stack((0.35 + 0.3 * down, 0.4 + 0.2 * across, 0.6 - 0.2 * down * across), axis=2)
    soft += rng.normal(0, 0.02, soft.shape)
    return np.rint(soft * np.iinfo(depth).max).astype(depth)


def hole(side: int = 160, size: int = 60) -> np.ndarray:
    mask = np.zeros((side, side), np.float32)
    start = (side - size) // 2
    mask[start : start + size, start : start + size] = 1
    return mask


def cast(picture: np.ndarray, gain: tuple[float, ...], offset: tuple[float, ...]) -> np.ndarray:
    most = np.iinfo(picture.dtype).max
    changed = picture * np.array(gain) + np.array(offset) * most
    return np.rint(np.clip(changed, 0, most)).astype(picture.dtype)


@depths
@pytest.mark.parametrize(
    ("gain", "offset"),
    [((1, 1, 1), (0.08, -0.05, 0.1)), ((0.85, 1.1, 0.95), (0.05, -0.04, 0.0)), ((1, 1, 1), (0, 0, 0))],
)
def test_a_cast_over_the_whole_patch_is_taken_off(depth, gain, offset):
    original, mask = scene(depth), hole()
    wanted = original.copy()
    wanted[mask > 0] = wanted[mask > 0] // 2 + np.iinfo(depth).max // 5  # something new inside
    matched = match_colours(cast(wanted, gain, offset), original, mask)
    assert matched.dtype == depth
    assert np.abs(matched.astype(float) - wanted).max() <= 2 * (np.iinfo(depth).max / 255)


def test_outliers_in_the_ring_do_not_count():
    original, mask = scene(), hole()
    patch = cast(original, (0.9, 0.9, 0.9), (0.06, 0.06, 0.06))
    patch[38:50, 40:120] = (255, 0, 0)  # a fifth of the ring
    matched = match_colours(patch, original, mask)
    inside = mask > 0
    assert np.abs(matched[inside].astype(float) - original[inside]).max() <= 3


@pytest.mark.parametrize("level", [0, 90, 255])
def test_flat_rings_give_an_offset_alone(level):
    original = np.full((100, 100, 3), level, np.uint8)
    patch = scene(side=100)
    mask = hole(100, 40)
    patch[mask == 0] = 100
    matched = match_colours(patch, original, mask)
    expected = np.clip(patch.astype(int) + level - 100, 0, 255)
    assert np.array_equal(matched, expected)


def test_contrast_is_left_alone_where_patch_and_picture_are_not_alike():
    rng = np.random.default_rng(0)
    original = rng.integers(80, 120, (100, 100, 3), np.uint8)
    patch = rng.integers(100, 240, (100, 100, 3), np.uint8)
    mask = hole(100, 40)
    matched = match_colours(patch, original, mask).astype(int)
    shift = np.median(matched - patch, axis=(0, 1))
    assert np.abs(matched - np.clip(patch + shift, 0, 255)).max() <= 1


def test_few_ring_pixels_correct_brightness_and_fewer_nothing():
    original = np.full((12, 12, 3), 100, np.uint8)
    patch = np.full((12, 12, 3), 130, np.uint8)
    mask = np.ones((12, 12), np.float32)
    assert match_colours(patch, original, mask) is patch
    mask[0, :7] = 0
    assert match_colours(patch, original, mask) is patch
    mask[0] = 0
    assert (match_colours(patch, original, mask) == 100).all()


def test_boolean_masks_are_accepted_and_soft_pixels_count_as_inside():
    original, patch = np.full((60, 60, 3), 100, np.uint8), np.full((60, 60, 3), 130, np.uint8)
    soft = hole(60, 20)
    soft[soft > 0] = 0.01
    expected = match_colours(patch, original, hole(60, 20))
    assert np.array_equal(match_colours(patch, original, soft), expected)
    assert np.array_equal(match_colours(patch, original, soft > 0), expected)

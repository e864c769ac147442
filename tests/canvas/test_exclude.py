import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from canvas.exclude import excluding_masks, excluding_points
from canvas.region import MaskCandidate

HEIGHT, WIDTH = 20, 30


def thing(left, top, right, bottom):
    mask = np.zeros((HEIGHT, WIDTH), np.uint8)
    mask[top:bottom, left:right] = 1
    return mask


def found(*box, score=0.9):
    mask = thing(*box)
    mask.flags.writeable = False  # as models give them
    return MaskCandidate(mask, score)


def test_a_candidate_that_shares_most_pixels_with_an_unwanted_mask_is_dropped():
    candidates = [found(0, 0, 10, 10), found(15, 0, 25, 10)]
    assert excluding_masks(candidates, [thing(0, 0, 6, 10)]) == [candidates[1]]


def test_half_of_a_candidate_is_not_most_of_it():
    (left,) = excluding_masks([found(0, 0, 10, 10, score=0.7)], [thing(0, 0, 5, 10)])
    assert np.array_equal(left.mask, thing(5, 0, 10, 10)) and left.score == 0.7


def test_remaining_candidates_lose_the_pixels_they_share_with_unwanted_masks():
    """None of the two is most of it, so it is neither; together they leave little of it."""
    (left,) = excluding_masks([found(0, 0, 10, 10)], [thing(0, 0, 5, 10), thing(6, 0, 10, 10)])
    assert np.array_equal(left.mask, thing(5, 0, 6, 10))


def test_a_candidate_without_pixels_left_is_dropped():
    assert excluding_masks([found(0, 0, 10, 10)], [thing(0, 0, 5, 10), thing(5, 0, 10, 10)]) == []


def test_a_candidate_that_overlaps_no_unwanted_mask_is_the_same_object():
    candidate, empty = found(0, 0, 10, 10), thing(0, 0, 0, 0)
    assert excluding_masks([candidate], [thing(10, 10, 20, 20), empty]) == [candidate]
    assert excluding_masks([candidate], []) == [candidate]
    assert excluding_masks([MaskCandidate(empty, 1.0)], [thing(0, 0, 1, 1)]) == []


def test_candidates_that_cover_a_point_are_dropped():
    one, other = found(0, 0, 10, 10), found(10, 0, 20, 10)
    assert excluding_points([one, other], []) == [one, other]
    assert excluding_points([one, other], [(9.9, 9.9)]) == [other]
    assert excluding_points([one, other], [(10.0, 5.0)]) == [one]
    assert excluding_points([one, other], [(3, 3), (13, 3)]) == []
    assert excluding_points([one, other], [(25, 15)]) == [one, other]


boxes = st.tuples(st.integers(0, 20), st.integers(0, 14), st.integers(1, 10), st.integers(1, 6)).map(
    lambda box: (box[0], box[1], box[0] + box[2], box[1] + box[3])
)


@given(st.lists(boxes, max_size=4), st.lists(boxes, max_size=4))
def test_excluding_masks_agrees_with_set_arithmetic(wanted, unwanted):
    candidates = [found(*box, score=n) for n, box in enumerate(wanted)]
    things = [thing(*box) for box in unwanted]
    expected = []
    for one in candidates:
        pixels = set(np.flatnonzero(one.mask))
        shared = [pixels & set(np.flatnonzero(other)) for other in things]
        left = pixels.difference(*shared)
        if left and not any(len(part) > len(pixels) / 2 for part in shared):
            expected.append((one.score, left))
    got = [(one.score, set(np.flatnonzero(one.mask))) for one in excluding_masks(candidates, things)]
    assert got == expected

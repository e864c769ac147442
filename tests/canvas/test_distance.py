"""Distances are exact, and the same wherever their mask lies in memory."""

from __future__ import annotations

import numpy as np

from canvas.distance import distance_to_outside

SHAPE = (104, 94)


def test_a_distance_is_the_root_of_a_whole_number_wherever_the_mask_lies():
    square = np.zeros(SHAPE, bool)
    square[20:84, 16:80] = True
    seen = set()
    kept = []  # so that every result gets memory of its own
    for start in range(64):
        somewhere = np.zeros(square.size + start, bool)[start:].reshape(SHAPE)
        somewhere[...] = square
        distance = distance_to_outside(somewhere)
        kept.append((distance, np.empty(start * 17, np.uint8)))
        assert np.array_equal(distance, np.sqrt(np.rint(np.square(distance))))
        seen.add(distance.tobytes())
    assert len(seen) == 1


def test_distances_run_between_the_centres_of_pixels():
    inside = np.array([[0, 1, 1, 1, 0]], bool)
    assert distance_to_outside(inside).tolist() == [[0.0, 1.0, 2.0, 1.0, 0.0]]


def test_a_mask_without_an_outside_is_far_from_it_everywhere():
    assert distance_to_outside(np.ones((3, 4), bool)).min() > 1000

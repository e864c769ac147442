"""What is doubtful about a region that a model found."""

from __future__ import annotations

import numpy as np
import pytest

from canvas.doubts import doubts
from canvas.region import All, Box, Click, Clicks, MaskCandidate, Region

CLICK = Region(Clicks((Click(30, 30),)))
BOX = Region(Box(20, 20, 60, 60))


def found(*squares: tuple[int, int, int], score: float = 0.9, stability: float = 0.9) -> MaskCandidate:
    """Squares (left, top, side) that a model found in a picture of 100 x 100."""
    mask = np.zeros((100, 100), np.uint8)
    for left, top, side in squares:
        mask[top : top + side, left : left + side] = 1
    return MaskCandidate(mask, score, model_pixel=0.4, stability=stability)


SPECKS = [(31 + 10 * n, 20 + 10 * n, 2) for n in range(5)]


def test_there_are_none_about_a_thing_in_one_piece() -> None:
    assert doubts(found((20, 20, 30)), CLICK) == doubts(found((22, 22, 30)), BOX) == ()
    assert doubts(found((20, 20, 30), (60, 60, 20)), CLICK) == ()


def test_nor_about_what_was_drawn() -> None:
    assert doubts(MaskCandidate(found(*SPECKS).mask.astype(np.float32), 1.0), CLICK) == ()


@pytest.mark.parametrize(
    ("candidate", "region", "doubt"),
    [
        (found(*SPECKS), CLICK, "the region is in 5 pieces, the largest of 4 pixels"),
        (found((60, 60, 20)), CLICK, "the region misses the click at (30, 30)"),
        (
            found((20, 20, 30)),
            Region(Clicks((Click(30, 30), Click(40, 40, outside=True)))),
            "the region covers the point (40, 40), which is to be outside of it",
        ),
        (
            found((20, 20, 30)),
            Region(BOX.selector, corrections=(Click(90, 90),)),
            "the region misses the correction at (90, 90)",
        ),
        (found((30, 30, 8)), BOX, "the region covers 4.0% of its box"),
        (found((30, 30, 40)), BOX, "44% of the region lies outside its box"),
        (found((20, 20, 30), score=0.59), CLICK, "the model is not sure of the region: its score is 0.59"),
        (
            found((20, 20, 30), stability=0.5),
            CLICK,
            "the outline of the region is uncertain: its stability is 0.50",
        ),
    ],
)
def test_each_is_said_in_words(candidate: MaskCandidate, region: Region, doubt: str) -> None:
    assert doubt in doubts(candidate, region)


def test_several_things_that_are_meant_together_are_no_specks() -> None:
    assert doubts(found(*SPECKS), Region(CLICK.selector, All())) == (
        "the region misses the click at (30, 30)",
    )

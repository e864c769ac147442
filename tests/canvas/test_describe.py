import pytest

from canvas.describe import describe
from canvas.region import (
    Box,
    Click,
    Clicks,
    Combination,
    MaskPicture,
    Operation,
    Polarity,
    Polygon,
    Region,
    Term,
    Words,
)

HAT, BOX = Words("hat", not_phrases=("belt",)), Box(1, 2, 3.5, 4)
PLUS, MINUS = Operation.PLUS, Operation.MINUS


def combination(*terms):
    return Combination(tuple(Term(operation, Region(selector)) for operation, selector in terms))


@pytest.mark.parametrize(
    ("selector", "words"),
    [
        (Clicks((Click(1, 2),)), "the click at (1, 2)"),
        (Clicks((Click(1, 2), Click(3, 4, True), Click(5, 6))), "clicks at (1, 2), (5, 6)"),
        (BOX, "the box (1, 2) to (3.5, 4)"),
        (Polygon(((0, 0), (1, 0), (1, 1))), "the polygon"),
        (MaskPicture("artifacts/…", Polarity.WHITE_INSIDE), "the mask picture"),
        (Words("hat", 0.25), "the words “hat” (threshold 0.25)"),
        (
            Words("hat", 0.5, ("belt", "cap"), ((1, 2), (3, 4))),
            "the words “hat” (threshold 0.5; not “belt”, “cap”; not at (1, 2), (3, 4))",
        ),
        (
            combination((PLUS, HAT), (MINUS, BOX), (PLUS, combination((PLUS, HAT), (PLUS, BOX)))),
            "the words “hat” minus the box (1, 2) to (3.5, 4) plus 2 regions combined",
        ),
    ],
)
def test_a_selector_in_plain_words(selector, words):
    assert describe(selector) == words


def test_descriptions_stay_short():
    assert describe(Words("x" * 200)) == f"the words “{'x' * 60}…” (threshold 0.5)"
    many = Clicks(tuple(Click(n, n) for n in range(64)))
    assert describe(many) == "clicks at (0, 0), (1, 1), (2, 2), (3, 3), 60 more"
    assert describe(combination(*[(PLUS, BOX)] * 6)).endswith("plus the box (1, 2) to (3.5, 4) and 2 more")

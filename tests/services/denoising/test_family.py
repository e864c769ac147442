"""Which questions are worth asking."""

from __future__ import annotations

import torch
from hypothesis import given
from hypothesis import strategies as st

from services.denoising.family import Branch, needed_branches

TEXTS = [torch.full((2, 3), float(value)) for value in range(2)]
SOURCES = [torch.full((4, 2, 2), float(value)) for value in range(2)]


def branch(weight: float, text: int, source: int) -> Branch:
    return Branch(weight, TEXTS[text].clone(), SOURCES[source].clone())


def test_equal_questions_are_asked_once():
    kept = needed_branches((branch(7.5, 0, 0), branch(-6.0, 0, 0), branch(-0.5, 0, 1)))
    assert [b.weight for b in kept] == [1.5, -0.5]


def test_a_question_that_counts_nothing_is_not_asked():
    kept = needed_branches((branch(1.0, 0, 0), branch(0.0, 1, 0), branch(0.0, 1, 1)))
    assert [b.weight for b in kept] == [1.0]


@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=5))
def test_what_is_kept_adds_up_to_the_same_answer(questions):
    """Answers are any function of text and source; here one that tells all four combinations apart."""

    def total(branches):
        return sum(
            b.weight * (1 + 10 * float(b.text[0, 0]) + 100 * float(b.condition[0, 0, 0])) for b in branches
        )

    branches = tuple(branch(w / 2, text, source) for w, text, source in questions)
    assert total(needed_branches(branches)) == total(branches)

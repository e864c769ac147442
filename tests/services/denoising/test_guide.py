"""Guidance: which branches a weighted sum needs, and how predictions are combined."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from services.denoising.family import Branch
from services.denoising.guide import NormPreservingCfg, Weight, WeightedSum, token_length, weighted_sum
from services.denoising.schedule import ScheduleSpec
from services.denoising.step import Step
from tests.services.denoising.doubles import Sketch, a_branch

TEXTS = [torch.full((2, 3), float(value)) for value in range(2)]
SOURCES = [torch.full((4, 2, 2), float(value)) for value in range(2)]


def weighted(weight: Weight, text: int, source: int) -> tuple[Weight, Branch]:
    return weight, a_branch(TEXTS[text].clone(), SOURCES[source].clone())


def step(index: int = 0, steps: int = 4) -> Step:
    return Step(index, Sketch.schedules["ddim"](ScheduleSpec("ddim", steps)), torch.zeros(4, 2, 2))


def test_equal_branches_are_evaluated_once():
    branches, guide = weighted_sum((weighted(7.5, 0, 0), weighted(-6.0, 0, 0), weighted(-0.5, 0, 1)))
    assert guide == WeightedSum((1.5, -0.5)) and len(branches) == 2


def test_a_branch_of_no_weight_is_not_evaluated():
    branches, guide = weighted_sum((weighted(1.0, 0, 0), weighted(0.0, 1, 0), weighted(0.0, 1, 1)))
    assert guide == WeightedSum((1.0,)) and len(branches) == 1


@given(st.lists(st.tuples(st.integers(-8, 8), st.integers(0, 1), st.integers(0, 1)), min_size=1, max_size=5))
def test_what_is_kept_adds_up_to_the_same_prediction(parts):
    """Predictions are any function of text and source; here one that tells all four combinations apart."""

    def prediction(branch: Branch) -> float:
        return 1 + 10 * float(branch.inputs["text"][0, 0]) + 100 * float(branch.inputs["condition"][0, 0, 0])

    given_branches = [weighted(weight / 2, text, source) for weight, text, source in parts]
    branches, guide = weighted_sum(given_branches)
    kept = sum(weight * prediction(branch) for weight, branch in zip(guide.weights, branches, strict=True))
    assert kept == sum(weight * prediction(branch) for weight, branch in given_branches)


def test_weights_may_differ_from_step_to_step():
    late = (0.0, 0.0, 3.0, 3.0)
    branches, guide = weighted_sum((weighted(late, 0, 0), weighted((1.0, 1.0, -2.0, -2.0), 1, 0)))
    one, other = torch.full((4, 2, 2), 2.0), torch.full((4, 2, 2), 5.0)
    assert len(branches) == 2
    assert [float(guide([one, other], step(index))[0, 0, 0]) for index in range(4)] == [5.0, 5.0, -4.0, -4.0]


def test_weights_of_equal_branches_are_added_step_by_step():
    branches, guide = weighted_sum((weighted((1.0, 2.0), 0, 0), weighted(0.5, 0, 0), weighted(0.0, 1, 1)))
    assert guide == WeightedSum(((1.5, 2.5),)) and len(branches) == 1
    nothing = weighted_sum((weighted((0.0, 0.0), 0, 0), weighted(1.0, 1, 1)))
    assert nothing[1] == WeightedSum((1.0,))


@pytest.mark.parametrize("guidance", [0.0, 2.5, 7.0])
def test_norm_preserving_guidance_keeps_the_length_of_every_token(guidance: float):
    prompted, negative = torch.randn(2, 6, 16, generator=torch.Generator().manual_seed(2))
    guided = NormPreservingCfg(guidance)([prompted, negative], step())
    torch.testing.assert_close(guided.norm(dim=-1), prompted.norm(dim=-1))
    plain = negative + guidance * (prompted - negative)
    torch.testing.assert_close(
        torch.cosine_similarity(guided, plain, dim=-1), torch.ones(6), rtol=0, atol=1e-5
    )
    assert NormPreservingCfg(1.0)([prompted], step()) is prompted


def test_the_length_may_be_that_of_patches_of_a_picture():
    def patches(latents: torch.Tensor) -> torch.Tensor:
        """The length over the channels of 2 x 2 latents, for each of them."""
        squares = torch.nn.functional.avg_pool2d(latents.square().sum(dim=0)[None, None], 2) * 4
        return torch.nn.functional.interpolate(squares.sqrt(), scale_factor=2)[0]

    prompted, negative = torch.randn(2, 4, 6, 8, generator=torch.Generator().manual_seed(3))
    guided = NormPreservingCfg(4.0, patches)([prompted, negative], step())
    torch.testing.assert_close(patches(guided), patches(prompted))
    assert not torch.allclose(token_length(guided), token_length(prompted))

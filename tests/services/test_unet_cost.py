"""`ask` = "cost": the branches and seconds of a job, as the step loop would have them."""

from __future__ import annotations

import pytest
import torch

from services import json_text
from services.bundles.bundle import Bundle
from services.denoising.costs import Costs, Measured
from services.ip2p_unet.family import InstructPix2Pix
from services.refusal import Refusal
from services.sd2_inpaint.family import Inpaint
from services.unet.cost import read_cost_question
from services.unet.request import Defaults, NetworkLimits, read_args

CPU = torch.device("cpu")
COSTS = Costs((Measured(64, {1: 0.1, 2: 0.2, 3: 0.27}, 1), Measured(256, {1: 1.0, 3: 2.4}, 1)))


@pytest.fixture(scope="module")
def edit(weights) -> InstructPix2Pix:
    return InstructPix2Pix(Bundle.open(weights / "ip2p"), CPU, torch.float32)


@pytest.fixture(scope="module")
def fill(weights) -> Inpaint:
    return Inpaint(Bundle.open(weights / "sd2_inpaint"), CPU, torch.float32)


def cost(family, **question) -> dict:
    return family.cost({"cost": json_text.to_tensor(question)}, COSTS)


def test_seconds_add_up_over_sheets_steps_and_candidates(edit):
    guided = {"guidance": {"guidance": 7.5, "picture_guidance": 1.5}}
    one = cost(edit, sheets=[[8, 8]], steps=10, **guided)
    assert one == {"evaluations": 3, "seconds": 2.7}
    many = cost(edit, sheets=[[8, 8], [16, 16], [32, 32]], steps=5, candidates=2, **guided)
    assert many["seconds"] == pytest.approx(2 * 5 * (0.27 + 2.4 + 2.4 * 16))


@pytest.mark.parametrize(
    ("question", "evaluations"),
    [
        ({"guidance": {"guidance": 7.5, "picture_guidance": 1.5}}, 3),
        ({"guidance": {"guidance": 7.5, "picture_guidance": 1.0}}, 2),
        ({"guidance": {"guidance": 1.0, "picture_guidance": 1.0}}, 1),
        ({"guidance": {"guidance": 7.5, "picture_guidance": 1.5}, "equal_prompts": True}, 2),
    ],
)
def test_an_edit_evaluates_the_branches_that_its_guidance_needs(edit, question, evaluations):
    assert cost(edit, sheets=[[8, 8]], **question)["evaluations"] == evaluations


@pytest.mark.parametrize(
    ("question", "evaluations"),
    [
        ({"guidance": {"guidance": 7.5}}, 2),
        ({"guidance": {"guidance": 1.0}}, 1),
        ({"guidance": {"guidance": 7.5}, "equal_prompts": True}, 1),
    ],
)
def test_a_fill_evaluates_the_branches_that_its_guidance_needs(fill, question, evaluations):
    assert cost(fill, sheets=[[8, 8]], **question)["evaluations"] == evaluations


def test_a_schedule_that_takes_one_step_more_costs_one_more(fill):
    ddim, pndm = (cost(fill, sheets=[[8, 8]], steps=10, scheduler=name) for name in ("ddim", "pndm"))
    assert pndm["seconds"] == pytest.approx(1.1 * ddim["seconds"])


def test_what_is_left_out_is_the_bundles_own(fill):
    facts = fill.facts()
    guidance = {name: number["default"] for name, number in facts["guidance"].items()}
    own = {"steps": facts["defaults"]["steps"], "guidance": guidance}
    assert cost(fill, sheets=[[8, 8]]) == cost(fill, sheets=[[8, 8]], **own)


def test_a_schedule_that_takes_fewer_steps_than_the_default_takes_its_most():
    limits = NetworkLimits(channels=4, text_width=32, steps={"ddim": 1000, "pndm": 10})
    defaults = Defaults(steps=20, guidance={}, scheduler="ddim")
    drawn = {name: torch.zeros(2, 32) for name in ("text", "no_text")}
    asked = {"source": torch.zeros(4, 8, 8), "seed": torch.tensor([1]), **drawn}
    for name, steps in (("ddim", 20), ("pndm", 10)):
        scheduler, cost = json_text.to_tensor(name), {"sheets": [[8, 8]], "scheduler": name}
        question = {"cost": json_text.to_tensor(cost)}
        assert read_args({**asked, "scheduler": scheduler}, limits, defaults).steps == steps
        assert read_cost_question(question, limits, defaults).steps == steps


@pytest.mark.parametrize(
    ("question", "complaint"),
    [
        ({}, 'cost must be a JSON object with "sheets"'),
        ({"sheets": [[8, 8]], "seed": 1}, 'cost must be a JSON object with "sheets" and of candidates, '),
        ({"sheets": []}, "cost.sheets must be a list of 1 to 4096 pairs"),
        ({"sheets": [[8, 8], [8]]}, r"cost.sheets\[1\] must be a pair"),
        ({"sheets": [[8, 257]]}, r"cost.sheets\[0\] must be a whole number in \[1, 256\]"),
        ({"sheets": [[8, 8.5]]}, r"cost.sheets\[0\] must be a whole number"),
        ({"sheets": [[8, 8]], "steps": 0}, r"cost.steps must be a whole number in \[1, \d+\]"),
        ({"sheets": [[8, 8]], "scheduler": "heun"}, "cost.scheduler must be one of ddim, .* not 'heun'"),
        ({"sheets": [[8, 8]], "guidance": {"picture": 1}}, "cost.guidance must be a JSON object of guidance"),
        ({"sheets": [[8, 8]], "guidance": {"guidance": 101}}, r"cost.guidance.guidance must be a number in"),
        ({"sheets": [[8, 8]], "guidance": {"guidance": float("nan")}}, r"cost.guidance.guidance must be a"),
        ({"sheets": [[8, 8]], "guidance": {"guidance": 10**400}}, r"cost.guidance.guidance must be a number"),
        ({"sheets": [[8, 8]], "candidates": 10**400}, "cost.candidates must be a whole number"),
        ({"sheets": [[8, 8]], "equal_prompts": 1}, "cost.equal_prompts must be true or false"),
        ({"sheets": [[8, 8]], "candidates": True}, "cost.candidates must be a whole number"),
    ],
)
def test_a_wrong_question_is_refused_naming_the_field(fill, question, complaint):
    with pytest.raises(Refusal, match=f"INVALID_FIELD: {complaint}"):
        cost(fill, **question)

"""Every registered denoiser is served, and every denoiser that is served is registered."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from services.bundles.bundle import Bundle
from services.registry import FAMILIES

REPOSITORY = Path(__file__).parents[2] / "model_repository"


def test_the_model_repository_has_a_folder_for_every_family_and_no_other():
    denoisers = {file.parts[-3] for file in REPOSITORY.glob("*/1/model.py") if "denoiser" in file.read_text()}
    assert denoisers == FAMILIES.keys()


@pytest.mark.parametrize("name", FAMILIES)
def test_the_facts_of_a_family_say_how_it_may_be_used(name, weights):
    registered = FAMILIES[name]
    family = registered.family(Bundle.open(weights / registered.bundle), torch.device("cpu"), torch.float32)
    facts = family.facts()
    for words in facts["guidance"].values():
        assert words["least"] <= words["default"] <= words["most"]
    assert facts["schedulers"] == sorted(family.schedules) == sorted(facts["most_steps"])
    assert facts["defaults"]["scheduler"] in family.schedules
    typical, side = family.typical(), facts["size"] // facts["factor"]
    assert typical.latents[-2:] == (side, side)
    assert typical.schedule.steps == facts["defaults"]["steps"]
    assert len(typical.branches) == len(facts["guidance"]) + 1

"""Training: killed at any moment it continues as if nothing had happened."""

import json

import pytest
import torch
from torch import nn

from training.recipes.budget import Budget, rate
from training.recipes.muon import optimizer_for
from training.recipes.training_loop import TrainingPlan, train_network


class Killed(Exception):
    pass


def run(folder, steps, *, killed_at=None, save_every=0.0):
    """A small recipe: a network learns to double a vector; batches are functions of the step."""
    torch.manual_seed(0)
    network = nn.Sequential(nn.Linear(8, 16), nn.SiLU(), nn.Linear(16, 8))

    def loss_at(step, spent):
        if step == killed_at:
            raise Killed
        x = torch.randn(4, 8, generator=torch.Generator().manual_seed(step))
        return (network(x) - 2 * x).square().mean(), {"step": float(step)}

    plan = TrainingPlan(Budget(steps=steps), save_every=save_every)
    optimizer = optimizer_for(network, matrix_rate=0.02, vector_rate=1e-2)
    return train_network(folder, network, optimizer, loss_at, plan, lambda averaged: {"watched": 1.0})


def test_a_killed_training_resumes_to_the_same_weights(tmp_path):
    whole, _ = run(tmp_path / "whole", 40)
    for moment in (7, 23):
        with pytest.raises(Killed):
            run(tmp_path / "killed", 40, killed_at=moment)
    resumed, record = run(tmp_path / "killed", 40)
    assert record["steps"] == 40
    for one, other in zip(whole.parameters(), resumed.parameters(), strict=True):
        assert torch.equal(one, other)


def test_a_kill_between_two_saves_repeats_the_steps_since_the_last(tmp_path):
    with pytest.raises(Killed):
        run(tmp_path / "killed", 40, killed_at=20, save_every=1e9)
    resumed, _ = run(tmp_path / "killed", 40)
    whole, _ = run(tmp_path / "whole", 40)
    assert torch.equal(next(resumed.parameters()), next(whole.parameters()))


def test_a_finished_training_is_not_run_again(tmp_path):
    first, _ = run(tmp_path / "once", 10)
    again, record = run(tmp_path / "once", 10, killed_at=10)
    assert record["steps"] == 10
    assert torch.equal(next(first.parameters()), next(again.parameters()))


def test_a_training_learns_and_writes_its_curve(tmp_path):
    run(tmp_path / "kept", 300)
    rows = [json.loads(line) for line in (tmp_path / "kept" / "curve.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 300
    assert rows[-1]["losses"]["loss"] < 1.0
    assert rows[-1]["validation"] == {"watched": 1.0}


def test_the_rate_climbs_stays_and_falls():
    assert rate(0.0, 0, flat=0.5) < 0.1
    assert rate(0.3, 500, flat=0.5) == 1.0
    assert rate(0.75, 500, flat=0.5) == pytest.approx(0.5)
    assert rate(1.0, 500, flat=0.5) == pytest.approx(0.002)


def test_a_budget_counts_minutes_or_steps():
    assert Budget(minutes=10).spent(step=999, seconds=300) == pytest.approx(0.5)
    assert Budget(steps=50).spent(step=25, seconds=1e6) == pytest.approx(0.5)

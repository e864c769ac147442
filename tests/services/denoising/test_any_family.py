"""The step loop knows no shapes: ranks, unequal texts, hooks, caches and phases are the family's."""

from __future__ import annotations

import dataclasses
import itertools

import pytest
import torch
from torch import Tensor, nn

from services.denoising.family import Branch, Request
from services.denoising.guide import WeightedSum
from services.denoising.hooks import PinKnown
from services.denoising.memory_budget import state_bytes
from services.denoising.noise import draw_noise
from services.denoising.schedule import ScheduleSpec
from services.denoising.schedules import DIFFUSION
from services.denoising.step import Step
from services.refusal import Refusal
from tests.services.denoising.doubles import Listener, Notes, Sketch, engine, request, run_to_the_end
from tests.services.denoising.token_family import CHANNELS, Tokens, tokens_request


def made(*requests: Request, family=None, **limits) -> list[Tensor]:
    """The latents of requests that are admitted together."""
    loop, listeners = engine(family or Tokens(), **limits), [Listener() for _ in requests]
    for each, listener in zip(requests, listeners, strict=True):
        loop.admit(each, listener)
    run_to_the_end(loop)
    latents = []
    for listener in listeners:
        assert listener.latents is not None, listener.refusal
        latents.append(listener.latents)
    return latents


@pytest.mark.parametrize("shape", [(12, CHANNELS), (2, 4, 5, CHANNELS)], ids=["tokens", "frames"])
def test_latents_of_any_rank_step_together_as_they_would_alone(shape):
    family = Tokens()
    requests = [tokens_request(seed, shape, steps=4 + seed) for seed in range(3)]
    together = made(*requests, family=family)
    assert family.passes[0][0] == 6
    for latents, each in zip(together, requests, strict=True):
        assert latents.shape == shape
        torch.testing.assert_close(latents, made(each)[0], rtol=0, atol=1e-5)


def test_ranks_do_not_mix_in_a_pass_and_share_the_loop():
    family = Tokens()
    flat, deep = tokens_request(1, (12, CHANNELS)), tokens_request(2, (2, 3, 2, CHANNELS))
    first, second = made(flat, deep, family=family)
    assert first.shape == (12, CHANNELS) and second.shape == (2, 3, 2, CHANNELS)
    assert {rows for rows, _ in family.passes} == {2}


def test_texts_of_unequal_length_share_a_pass():
    family = Tokens()
    requests = [
        tokens_request(n, (12, CHANNELS), texts=lengths) for n, lengths in enumerate([(5, 2), (9, 3)])
    ]
    together = made(*requests, family=family)
    assert {rows for rows, _ in family.passes} == {4}
    for latents, each in zip(together, requests, strict=True):
        torch.testing.assert_close(latents, made(each)[0], rtol=0, atol=1e-5)


def test_branches_that_cannot_share_a_pass_are_evaluated_in_two():
    family, whole = Tokens(), tokens_request(1, (12, CHANNELS))
    first, second = whole.branches
    apart = dataclasses.replace(
        whole, branches=(first, dataclasses.replace(second, key=((12, CHANNELS), "other text")))
    )
    assert torch.equal(made(apart, family=family)[0], made(whole)[0])
    assert len(family.passes) == 12 and {rows for rows, _ in family.passes} == {1}


def test_a_trajectory_keeps_the_familys_state_in_shared_passes():
    """Its cache is filled at a full step and used at the others: another's would change the result."""
    requests = [tokens_request(n, (12, CHANNELS), full_steps=1 + n, steps=6) for n in range(3)]
    family = Tokens()
    together = made(*requests, family=family)
    assert {key[-1] for _, key in family.passes} == {"full", "half"}
    for latents, each in zip(together, requests, strict=True):
        torch.testing.assert_close(latents, made(each)[0], rtol=0, atol=1e-5)
    assert not torch.allclose(made(tokens_request(0, (12, CHANNELS), full_steps=6))[0], together[0])


def test_bytes_that_a_family_carries_count_in_the_memory_budget():
    light, heavy = (tokens_request(1, (12, CHANNELS), carry_bytes=size) for size in (0, 5 << 20))
    assert state_bytes(heavy) - state_bytes(light) == 5 << 20
    with pytest.raises(Refusal, match="INVALID_FIELD: 12 tokens needs about 7 MiB"):
        engine(Tokens(), memory=4 << 20).admit(heavy, Listener())


def test_the_noise_is_drawn_in_the_order_of_the_request():
    """The first draw is not the one that the first step starts from, and has another shape."""
    shape, other = (12, CHANNELS), (7, 2)
    (_, start), generator = draw_noise(3, [other, shape])
    drawn = tokens_request(3, shape, draws=(other, shape), start=1)
    sketch = Tokens()
    seen = []
    predict = sketch.predict

    def watched(rows):
        seen.append(rows[0].latents)
        return predict(rows)

    sketch.predict = watched
    made(drawn, family=sketch)
    assert torch.equal(seen[0], start)
    assert float(torch.randn(1, generator=generator)) != float(start.flatten()[0])


@pytest.mark.parametrize("scheduler", DIFFUSION)
def test_known_latents_are_put_back_after_every_step(scheduler: str):
    known = torch.randn(4, 4, 4, generator=torch.Generator().manual_seed(6))
    hole = torch.zeros(1, 4, 4)
    hole[:, :2] = 1
    plain = request(1, steps=5, scheduler=scheduler)
    pinned = dataclasses.replace(plain, after=(PinKnown(known, hole),))
    free, held = made(plain, family=Sketch())[0], made(pinned, family=Sketch())[0]
    assert torch.equal(held[:, 2:], known[:, 2:])
    assert not torch.allclose(held[:, :2], free[:, :2]), "the rest must follow what is put back"


def test_known_latents_are_as_noisy_as_their_step():
    known, seen = torch.full((12, CHANNELS), 2.0), []

    class Watch(PinKnown):
        def __call__(self, latents: Tensor, clean: Tensor, step: Step) -> Tensor:
            after = super().__call__(latents, clean, step)
            sigma = step.schedule.level(step.index + 1)[1] if step.index + 1 < step.steps else 0.0
            seen.append((step.index, torch.equal(after, (1 - sigma) * known + sigma * step.noise)))
            return after

    made(tokens_request(1, (12, CHANNELS), after=(Watch(known, torch.zeros(())),)))
    assert seen == [(index, True) for index in range(6)]


class FollowsALoss:
    """Moves latents against the gradient of a tiny decoder's distance to a target."""

    work, nbytes = 24, 1 << 20

    def __init__(self, rate: float) -> None:
        self.decoder = nn.Sequential(nn.Linear(CHANNELS, 8), nn.Tanh(), nn.Linear(8, 2)).requires_grad_(False)
        for index, parameter in enumerate(self.decoder.parameters()):
            values = torch.randn(parameter.shape, generator=torch.Generator().manual_seed(index))
            parameter.copy_(values)
        self.rate, self.losses = rate, []

    def __call__(self, latents: Tensor, clean: Tensor, step: Step) -> Tensor:
        with torch.enable_grad():
            leaf = clean.detach().requires_grad_()
            loss = (self.decoder(leaf) - 0.5).square().mean()
            (gradient,) = torch.autograd.grad(loss, leaf)
        self.losses.append(float(loss))
        return latents - self.rate * gradient


def test_a_hook_can_follow_the_gradient_of_a_loss():
    with torch.no_grad():
        guided, idle = FollowsALoss(rate=1.0), FollowsALoss(rate=0.0)
    latents = [made(tokens_request(1, (12, CHANNELS), after=(hook,)))[0] for hook in (guided, idle)]
    assert not latents[0].requires_grad
    assert guided.losses[-1] < 0.7 * idle.losses[-1]


def test_the_work_of_a_hook_counts_in_time_and_memory():
    with torch.no_grad():
        hook = FollowsALoss(rate=1.0)
    plain, hooked = tokens_request(1, (12, CHANNELS)), tokens_request(1, (12, CHANNELS), after=(hook,))
    costs = engine(Tokens()).costs
    assert costs.step_seconds(hooked) == costs.step_seconds(plain) + costs.seconds_for(1, 24)
    assert costs.step_bytes(hooked) == max(costs.step_bytes(plain), costs.bytes_for(1, 24))
    assert state_bytes(hooked) - state_bytes(plain) == hook.nbytes
    with pytest.raises(Refusal, match="INVALID_FIELD: 12 tokens would take about"):
        engine(Tokens(), step_seconds=costs.step_seconds(plain) + 0.1).admit(hooked, Listener())


def test_a_schedule_of_a_family_is_its_own_and_no_other():
    unknown = dataclasses.replace(tokens_request(1, (12, CHANNELS)), schedule=ScheduleSpec("ddim", 4))
    loop, listener = engine(Tokens()), Listener()
    loop.admit(unknown, listener)
    run_to_the_end(loop)
    assert listener.refusal is not None and listener.refusal.reason == "INTERNAL"


def test_weights_of_each_step_reach_the_latents():
    """Guidance in the first steps only is what two requests would do, one after the other."""
    notes, plain = Notes(), request(1, steps=4)
    late = dataclasses.replace(plain, guide=WeightedSum(((1.0, 1.0, 0.5, 0.5), (0.0, 0.0, 0.5, 0.5))))
    early = dataclasses.replace(plain, guide=WeightedSum(((1.0,) * 4, (0.0,) * 4)))
    results = [made(each, family=Sketch(), meter=notes)[0] for each in (plain, late, early)]
    assert all(not torch.equal(one, other) for one, other in itertools.combinations(results, 2))


def test_inputs_that_a_family_names_arrive_by_their_names():
    class Named(Tokens):
        def predict(self, rows):
            assert all(row.inputs.keys() == {"text", "owner"} for row in rows)
            return super().predict(rows)

    whole = tokens_request(1, (12, CHANNELS))
    owned = tuple(
        Branch({**branch.inputs, "owner": torch.zeros(12, dtype=torch.int64)}, branch.key, branch.work)
        for branch in whole.branches
    )
    assert made(dataclasses.replace(whole, branches=owned), family=Named())[0].shape == (12, CHANNELS)

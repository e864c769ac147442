"""Every schedule against the diffusers scheduler that it wraps, and its memory written down."""

from __future__ import annotations

import diffusers
import numpy as np
import pytest
import torch

from services.denoising.schedule import Schedule, ScheduleSpec
from services.denoising.schedules import DIFFUSION, SCHEDULES, factories, most_steps, name_of, shift_for
from tests.services.denoising.doubles import SCHEDULER

FLOW = {
    "_class_name": "FlowMatchEulerDiscreteScheduler",
    "use_dynamic_shifting": True,
    "base_shift": 0.5,
    "max_shift": 0.9,
    "max_image_seq_len": 8192,
    "shift_terminal": 0.02,
}
CONFIGS = {name: FLOW if name == "flow_match" else SCHEDULER for name in SCHEDULES}
SHAPE = (1, 5, 4, 6, 6)  # frames of latents; only the first axis means anything to a schedule


def schedule(name: str, steps: int = 8) -> Schedule:
    return factories([name], CONFIGS[name])[name](ScheduleSpec(name, steps, shift=0.8))


def walk(way: Schedule, latents: torch.Tensor, generator: torch.Generator, first: int = 0, last=None):
    """Steps with a network that mixes what it sees with the level."""
    for index in range(first, len(way.timesteps) if last is None else last):
        seen = way.network_input(latents, index)
        predicted = torch.tanh(seen * 0.7 + way.timesteps[index] / 1000)
        latents, clean = way.advance(predicted, index, latents, generator)
    return latents, clean


def start(way: Schedule) -> tuple[torch.Tensor, torch.Generator]:
    generator = torch.Generator().manual_seed(4)
    return torch.randn(SHAPE, generator=generator) * way.noise_scale, generator


@pytest.mark.parametrize("name", SCHEDULES)
@pytest.mark.parametrize("done", [1, 2, 3, 5, 7])
def test_a_restored_schedule_gives_the_same_bytes(name: str, done: int):
    whole = walk(schedule(name), *start(schedule(name)))
    first = schedule(name)
    latents, generator = start(first)
    latents, _ = walk(first, latents, generator, last=done)
    again = schedule(name)
    again.restore({key: value.clone() for key, value in first.state().items()})
    drawn = torch.Generator()
    drawn.set_state(generator.get_state())
    for ours, theirs in zip(walk(again, latents, drawn, first=done), whole, strict=True):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", SCHEDULES)
def test_noised_latents_are_those_of_diffusers_and_clean_after_the_last_step(name: str):
    way, generator = schedule(name), torch.Generator().manual_seed(5)
    clean, noise = torch.randn(2, *SHAPE, generator=generator)
    for index in (0, 3, 7):
        level = way.timesteps[index : index + 1]
        if name == "flow_match":
            wanted = way._scheduler.scale_noise(clean, level, noise)
        else:
            wanted = way._scheduler.add_noise(clean, noise, level)
        torch.testing.assert_close(way.noised(clean, noise, index), wanted)
    assert way.noised(clean, noise, len(way.timesteps)) is clean


def test_flow_matching_steps_as_pipelines_of_flow_models_do():
    tokens, steps = 1200, 6
    theirs = diffusers.FlowMatchEulerDiscreteScheduler.from_config(FLOW)
    mu = shift_for(FLOW, tokens)
    theirs.set_timesteps(sigmas=np.linspace(1.0, 1 / steps, steps), mu=mu)
    ours = SCHEDULES["flow_match"](FLOW, ScheduleSpec("flow_match", steps, mu))
    assert torch.equal(ours.timesteps, theirs.timesteps)
    latents, generator = start(ours)
    wanted = latents
    for level in theirs.timesteps:
        wanted = theirs.step(torch.tanh(wanted * 0.7 + level / 1000), level, wanted).prev_sample
    assert torch.equal(walk(ours, latents, generator)[0], wanted)


def test_the_shift_is_that_of_the_pipelines():
    from diffusers.pipelines.qwenimage.pipeline_qwenimage import calculate_shift

    for tokens in (64, 1024, 6000):
        assert shift_for(FLOW, tokens) == pytest.approx(calculate_shift(tokens, 256, 8192, 0.5, 0.9))


def test_a_flow_schedule_without_its_shift_is_an_error():
    with pytest.raises(ValueError, match="needs a shift"):
        SCHEDULES["flow_match"](FLOW, ScheduleSpec("flow_match", 4))


def test_levels_of_flow_matching_end_at_one_thousand_and_still_count_as_trained():
    assert most_steps("flow_match", FLOW, shift=0.8) == 1000


def test_a_bundles_own_schedule_is_found_among_those_its_family_takes():
    assert name_of(SCHEDULER) == "ddim"
    assert name_of(FLOW, ["flow_match"]) == "flow_match"
    with pytest.raises(ValueError, match="'FlowMatchEulerDiscreteScheduler' is none of ddim, "):
        name_of(FLOW, DIFFUSION)


@pytest.mark.parametrize("dynamic", [True, False])
@pytest.mark.parametrize("name", ["cogvideox_ddim", "cogvideox_dpm"])
def test_cogvideox_steps_as_its_pipeline_does(name: str, dynamic: bool):
    """Which gives the solver its own last clean estimate."""
    config = {**SCHEDULER, "prediction_type": "v_prediction", "rescale_betas_zero_snr": dynamic}
    theirs = SCHEDULES[name].scheduler.from_config(config)
    theirs.set_timesteps(7)
    ours = SCHEDULES[name](config, ScheduleSpec(name, 7))
    latents, generator = start(ours)
    _, drawn = start(ours)
    wanted, old = latents, None
    for index, level in enumerate(theirs.timesteps):
        predicted = torch.tanh(wanted * 0.7 + level / 1000)
        if name == "cogvideox_ddim":
            wanted = theirs.step(predicted, level, wanted).prev_sample
        else:
            before = theirs.timesteps[index - 1] if index else None
            wanted, old = theirs.step(
                predicted, old, level, before, wanted, generator=drawn, return_dict=False
            )
    assert torch.equal(walk(ours, latents, generator)[0], wanted)

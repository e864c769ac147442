"""Latents of clips: a tiny CogVideoX in the step loop makes what its pipeline in diffusers makes."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import pytest
import torch
from diffusers import AutoencoderKLCogVideoX, CogVideoXImageToVideoPipeline, CogVideoXTransformer3DModel
from diffusers.models.embeddings import get_3d_rotary_pos_embed
from diffusers.pipelines.cogvideo.pipeline_cogvideox_image2video import get_resize_crop_region_for_grid
from torch import Tensor

from services.denoising.family import BatchRow, Branch, Request
from services.denoising.guide import weighted_sum
from services.denoising.hooks import PinKnown
from services.denoising.noise import draw_noise
from services.denoising.schedule import ScheduleSpec
from services.denoising.schedules import SCHEDULES, factories
from tests.services.denoising.doubles import Listener, Notes, engine, run_to_the_end

SHAPE = (5, 16, 16, 16)  # frames, channels, height, width
SCHEDULER = {
    "beta_schedule": "scaled_linear",
    "beta_start": 0.00085,
    "beta_end": 0.012,
    "prediction_type": "v_prediction",
    "rescale_betas_zero_snr": True,
    "set_alpha_to_one": True,
    "snr_shift_scale": 1.0,
    "timestep_spacing": "trailing",
    "clip_sample": False,
}


@dataclass(frozen=True)
class Wish:
    """A clip from a picture."""

    schedule: str
    seed: int
    steps: int
    guidance: float
    dynamic: bool  # guidance grows on the way

    def texts(self) -> Tensor:
        return torch.randn(2, 8, 24, generator=torch.Generator().manual_seed(self.seed + 100))


WISHES = [
    Wish("cogvideox_ddim", 11, 5, 6.0, dynamic=False),
    Wish("cogvideox_dpm", 12, 7, 6.0, dynamic=True),
    Wish("cogvideox_dpm", 13, 10, 3.0, dynamic=False),
    Wish("cogvideox_ddim", 14, 8, 6.0, dynamic=True),
]


class Clips:
    """CogVideoX: noise beside the latents of a picture that is the first frame."""

    device = torch.device("cpu")
    schedules = factories(["cogvideox_ddim", "cogvideox_dpm"], SCHEDULER)

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = CogVideoXTransformer3DModel(
            num_attention_heads=2,
            attention_head_dim=16,
            in_channels=32,
            out_channels=16,
            time_embed_dim=32,
            text_embed_dim=24,
            num_layers=3,
            sample_width=16,
            sample_height=16,
            sample_frames=17,
            max_text_seq_length=8,
            use_rotary_positional_embeddings=True,
            use_learned_positional_embeddings=True,
        )
        self.network.eval().requires_grad_(False)
        for parameter in self.network.parameters():
            parameter.add_(0.05 * torch.randn_like(parameter))
        self.vae = AutoencoderKLCogVideoX(
            block_out_channels=(8, 8, 16, 16),
            latent_channels=16,
            layers_per_block=1,
            norm_num_groups=4,
            sample_height=128,
            sample_width=128,
            scaling_factor=0.7,
        )
        self.vae.eval().requires_grad_(False)
        self.picture = torch.rand(1, 3, 128, 128)

    def begin(self, request: Request) -> None:
        """Keeps nothing."""

    @lru_cache(maxsize=1)  # noqa: B019 - one family for all tests
    def positions(self) -> tuple[Tensor, Tensor]:
        grid = (SHAPE[2] // 2, SHAPE[3] // 2)
        crops = get_resize_crop_region_for_grid(grid, 8, 8)
        return get_3d_rotary_pos_embed(16, crops, grid, SHAPE[0])

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        latents, picture, text = (
            torch.stack(each)
            for each in (
                [row.latents for row in rows],
                [row.inputs["picture"] for row in rows],
                [row.inputs["text"] for row in rows],
            )
        )
        timesteps = torch.stack([row.timestep for row in rows])
        seen = torch.cat([latents, picture], dim=2)
        return self.network(seen, text, timesteps, image_rotary_emb=self.positions(), return_dict=False)[
            0
        ].float()

    def sample(self, rows: int, work: int) -> list[BatchRow]:
        raise AssertionError("not measured here")

    def request(self, wish: Wish, **more) -> Request:
        """The picture's latents are drawn from its encoding before the noise, as in the pipeline."""
        encoding = self.vae.encode((self.picture * 2 - 1).unsqueeze(2)).latent_dist
        draws = (tuple(encoding.mean.shape), SHAPE)
        (drawn, _), _ = draw_noise(wish.seed, draws)
        first = (encoding.mean + encoding.std * drawn) * self.vae.config.scaling_factor
        picture = torch.cat([first[0].permute(1, 0, 2, 3), torch.zeros(4, *SHAPE[1:])])
        prompt, negative = wish.texts()
        spec = ScheduleSpec(wish.schedule, wish.steps)
        scales = tuple(self._scale(wish, level) for level in self.schedules[wish.schedule](spec).timesteps)
        branches, guide = weighted_sum(
            [
                (tuple(1 - scale for scale in scales), self._branch(negative, picture)),
                (scales, self._branch(prompt, picture)),
            ]
        )
        return Request(branches, guide, SHAPE, wish.seed, spec, "a clip", draws=draws, start=1, **more)

    def _branch(self, text: Tensor, picture: Tensor) -> Branch:
        return Branch({"text": text, "picture": picture}, SHAPE, SHAPE[0] * SHAPE[2] * SHAPE[3])

    def _scale(self, wish: Wish, level: Tensor) -> float:
        if not wish.dynamic:
            return wish.guidance
        part = (wish.steps - level.item()) / wish.steps
        return 1 + wish.guidance * (1 - math.cos(math.pi * part**5.0)) / 2


def by_diffusers(family: Clips, wish: Wish) -> Tensor:
    pipeline = CogVideoXImageToVideoPipeline(
        tokenizer=None,
        text_encoder=None,
        vae=family.vae,
        transformer=family.network,
        scheduler=SCHEDULES[wish.schedule].scheduler.from_config(SCHEDULER),
    )
    pipeline.set_progress_bar_config(disable=True)
    prompt, negative = wish.texts()
    return pipeline(
        image=family.picture,
        prompt=None,
        prompt_embeds=prompt[None],
        negative_prompt_embeds=negative[None],
        height=128,
        width=128,
        num_frames=17,
        num_inference_steps=wish.steps,
        guidance_scale=wish.guidance,
        use_dynamic_cfg=wish.dynamic,
        generator=torch.Generator().manual_seed(wish.seed),
        output_type="latent",
        return_dict=False,
        max_sequence_length=8,
    )[0][0]


@pytest.fixture(scope="module")
def family() -> Clips:
    return Clips()


def made(family: Clips, *requests: Request, meter: Notes | None = None) -> list[Tensor]:
    loop, listeners = engine(family, meter=meter), [Listener() for _ in requests]
    for each, listener in zip(requests, listeners, strict=True):
        loop.admit(each, listener)
    run_to_the_end(loop)
    assert all(listener.latents is not None for listener in listeners), [each.refusal for each in listeners]
    return [listener.latents for listener in listeners]


def test_clips_that_step_together_are_those_of_the_pipeline(family):
    notes = Notes()
    together = made(family, *(family.request(wish) for wish in WISHES), meter=notes)
    assert max(rows for rows, _ in notes.passes) == 8
    for latents, wish in zip(together, WISHES, strict=True):
        wanted = by_diffusers(family, wish)
        assert wanted.std() > 0.5
        torch.testing.assert_close(latents, wanted, rtol=0, atol=1e-4)


def test_the_known_part_of_a_clip_stays_and_the_rest_follows_it(family):
    known = torch.randn(SHAPE, generator=torch.Generator().manual_seed(9))
    hole = torch.zeros(5, 1, 16, 16)
    hole[2:, :, 4:12, 4:12] = 1
    pinned = family.request(WISHES[1], after=(PinKnown(known, hole),))
    free, held = made(family, family.request(WISHES[1]))[0], made(family, pinned)[0]
    inside = hole.expand(SHAPE) == 1
    assert torch.equal(held[~inside], known[~inside])
    assert (held[inside] - free[inside]).abs().max() > 0.1

"""Latents of packed tokens: a tiny Qwen-Image in the step loop makes what its pipeline in diffusers makes."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import diffusers
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler, QwenImagePipeline, QwenImageTransformer2DModel
from torch import Tensor

from services.denoising.family import BatchRow, Branch, Request
from services.denoising.guide import NormPreservingCfg
from services.denoising.noise import draw_noise
from services.denoising.schedule import ScheduleSpec
from services.denoising.schedules import factories, shift_for
from tests.services.denoising.doubles import Listener, Notes, engine, run_to_the_end
from tests.services.denoising.test_schedule import FLOW

CHANNELS, WIDTH = 16, 32  # of a token, and of text
BUCKET = 8  # texts are padded to a multiple of so many tokens


@dataclass(frozen=True)
class Wish:
    """A picture of so many tokens; texts of the prompt and the negative prompt have these lengths."""

    seed: int
    steps: int
    guidance: float
    grid: tuple[int, int] = (6, 4)
    lengths: tuple[int, int] = (7, 3)

    def texts(self) -> list[Tensor]:
        drawn = torch.Generator().manual_seed(self.seed + 100)
        return [torch.randn(length, WIDTH, generator=drawn) for length in self.lengths]

    @property
    def latents(self) -> tuple[int, int]:
        return self.grid[0] * self.grid[1], CHANNELS


WISHES = [
    Wish(1, 6, 4.0),
    Wish(2, 9, 2.5, lengths=(5, 8)),
    Wish(3, 5, 7.0, lengths=(6, 2)),
    Wish(4, 4, 3.0, grid=(4, 4), lengths=(12, 5)),
]


class Packed:
    """Qwen-Image: a transformer over tokens of the picture and of a text that is padded and masked."""

    device = torch.device("cpu")
    schedules = factories(["flow_match"], FLOW)

    def __init__(self) -> None:
        torch.manual_seed(0)
        self.network = QwenImageTransformer2DModel(
            patch_size=2,
            in_channels=CHANNELS,
            out_channels=CHANNELS // 4,
            num_layers=2,
            attention_head_dim=16,
            num_attention_heads=2,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(4, 6, 6),
        )
        self.network.eval().requires_grad_(False)

    def begin(self, request: Request) -> None:
        """Keeps nothing."""

    def predict(self, rows: Sequence[BatchRow]) -> Tensor:
        texts = [row.inputs["text"] for row in rows]
        longest = -(-max(map(len, texts)) // BUCKET) * BUCKET
        padded = torch.stack(
            [torch.nn.functional.pad(text, (0, 0, 0, longest - len(text))) for text in texts]
        )
        heard = torch.arange(longest)[None] < torch.tensor([[len(text)] for text in texts])
        return self.network(
            hidden_states=torch.stack([row.latents for row in rows]),
            timestep=torch.stack([row.timestep for row in rows]) / 1000,
            encoder_hidden_states=padded,
            encoder_hidden_states_mask=heard,
            img_shapes=[[(1, *rows[0].key)]] * len(rows),
            return_dict=False,
        )[0].float()

    def sample(self, rows: int, work: int) -> list[BatchRow]:
        raise AssertionError("not measured here")

    def request(self, wish: Wish) -> Request:
        tokens, _ = wish.latents
        branches = tuple(Branch({"text": text}, wish.grid, tokens + len(text)) for text in wish.texts())
        schedule = ScheduleSpec("flow_match", wish.steps, shift_for(FLOW, tokens))
        guide = NormPreservingCfg(wish.guidance)
        return Request(branches, guide, wish.latents, wish.seed, schedule, f"a picture of {tokens} tokens")


def by_diffusers(family: Packed, wish: Wish) -> Tensor:
    pipeline = QwenImagePipeline(
        scheduler=FlowMatchEulerDiscreteScheduler.from_config(FLOW),
        vae=None,
        text_encoder=None,
        tokenizer=None,
        transformer=family.network,
    )
    pipeline.set_progress_bar_config(disable=True)
    prompt, negative = (text[None] for text in wish.texts())
    (noise,), _ = draw_noise(wish.seed, [wish.latents])
    return pipeline(
        prompt_embeds=prompt,
        prompt_embeds_mask=torch.ones(prompt.shape[:2], dtype=torch.int64),
        negative_prompt_embeds=negative,
        negative_prompt_embeds_mask=torch.ones(negative.shape[:2], dtype=torch.int64),
        true_cfg_scale=wish.guidance,
        num_inference_steps=wish.steps,
        height=16 * wish.grid[0],
        width=16 * wish.grid[1],
        latents=noise[None],
        output_type="latent",
        return_dict=False,
    )[0][0]


@pytest.fixture(scope="module")
def family() -> Packed:
    diffusers.logging.set_verbosity_error()
    return Packed()


def test_pictures_of_tokens_that_step_together_are_those_of_the_pipeline(family):
    """Texts of unequal length share passes; another grid has passes of its own."""
    notes, listeners = Notes(), [Listener() for _ in WISHES]
    loop = engine(family, meter=notes)
    for wish, listener in zip(WISHES, listeners, strict=True):
        loop.admit(family.request(wish), listener)
    run_to_the_end(loop)
    assert {rows for rows, _ in notes.passes} == {2, 4, 6}
    for wish, listener in zip(WISHES, listeners, strict=True):
        assert listener.latents is not None, listener.refusal
        torch.testing.assert_close(listener.latents, by_diffusers(family, wish), rtol=0, atol=1e-4)

"""Filled holes are those of diffusers from the same weights, words, seed and settings, in any company."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from functools import lru_cache
from pathlib import Path

import diffusers
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as some
from PIL import Image

from services import json_text
from services.adapters.cache import AdapterCache
from services.bundles.bundle import Bundle, BundleError
from services.denoising.schedules import DIFFUSION, SCHEDULES
from services.refusal import Refusal
from services.sd2_inpaint.family import Inpaint
from services.text_encoder.service import TextEncoder
from services.vae.service import Vae
from tests.services.calls import tensors
from tests.services.denoising.doubles import Listener, engine, run_to_the_end
from training.tiny.adapters import file, keyed, matrices, own_weights

CPU = torch.device("cpu")
VELOCITY: dict = {}  # as the random bundle is
EPSILON = {"prediction_type": "epsilon"}
# As the starter weights are: noise to the very end, walked from the last level.
NOISE_TO_THE_END = {
    "rescale_betas_zero_snr": True,
    "timestep_spacing": "trailing",
    "set_alpha_to_one": True,
}
SETTINGS = [
    # width, height, steps, guidance, scheduler, prompt, negative prompt, schedule
    (64, 64, 6, 7.5, "ddim", "a red circle", "", VELOCITY),
    (128, 72, 6, 4.0, "ddim", "the sky", "a blue star", EPSILON),
    (64, 96, 5, 1.0, "ddim", "", "", NOISE_TO_THE_END),
    (64, 64, 8, 7.5, "euler", "a red circle", "", EPSILON),
    (72, 104, 6, 4.0, "euler", "a big heart", "snow", VELOCITY),
    (64, 64, 6, 4.0, "euler_ancestral", "a red circle", "", VELOCITY),
    (96, 64, 6, 7.5, "euler_ancestral", "", "a blue star", EPSILON),
    (64, 64, 6, 4.0, "euler_ancestral", "the sky", "", NOISE_TO_THE_END),
    (88, 64, 8, 7.5, "dpm_solver", "the sky", "snow", VELOCITY),
    (64, 64, 8, 1.0, "dpm_solver", "a red circle", "snow", EPSILON),
    (64, 88, 8, 4.0, "unipc", "a red circle", "", VELOCITY),
    (64, 64, 8, 7.5, "unipc", "", "", EPSILON),
    (64, 72, 6, 4.0, "pndm", "a red circle", "snow", VELOCITY),
    (80, 64, 8, 7.5, "pndm", "the sky", "", EPSILON),
    (64, 64, 8, 4.0, "ddpm", "a red circle", "a blue star", VELOCITY),
    (104, 72, 8, 1.0, "ddpm", "", "", EPSILON),
    (72, 64, 6, 4.0, "ddpm", "a big heart", "", NOISE_TO_THE_END),
]

STRENGTHS = {"lora": 0.8, "weights": 1.0}


@pytest.fixture(scope="module")
def bundle(weights: Path) -> Bundle:
    return Bundle.open(weights / "sd2_inpaint")


@pytest.fixture(scope="module")
def family(bundle: Bundle) -> Inpaint:
    return Inpaint(bundle, CPU, torch.float32)


@pytest.fixture(scope="module")
def scheduled(bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Bundle]:
    """The same weights under another schedule, said as JSON."""

    @lru_cache
    def changed(schedule: str) -> Bundle:
        copy = Path(shutil.copytree(bundle.folder, tmp_path_factory.mktemp("schedule") / "sd2_inpaint"))
        config = {**bundle.scheduler_config(), **json.loads(schedule)}
        (copy / "scheduler" / "scheduler_config.json").write_text(json.dumps(config))
        return Bundle.open(copy)

    return changed


def damaged(width: int, height: int, seed: int) -> tuple[Image.Image, Image.Image]:
    """A picture, and white where it is damaged: a blot and a scratch that keep to no grid."""
    generator = np.random.default_rng(seed)
    coarse = generator.integers(0, 256, (height // 8, width // 8, 3), np.uint8)
    picture = Image.fromarray(coarse).resize((width, height), Image.Resampling.BICUBIC)
    down, across = np.mgrid[:height, :width]
    blot = np.hypot(across - 0.4 * width, down - 0.55 * height) < 0.3 * min(width, height)
    scratch = np.abs(across - down - 5) < 3
    return picture, Image.fromarray((blot | scratch).astype(np.uint8) * 255)


def by_us(
    bundle: Bundle, picture: Image.Image, hole: Image.Image, setting: tuple, seed: int, adapter: str = ""
) -> np.ndarray:
    """Through the three models, with no server around them."""
    _, _, steps, guidance, scheduler, prompt, negative, _ = setting
    vae, words = Vae([bundle], CPU, torch.float32), TextEncoder([bundle], CPU, torch.float32)
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 127.5 - 1
    mask = torch.from_numpy(np.array(hole)).float()[None] / 255
    encoded = vae.answer(tensors(family=bundle.name, picture=pixels * (mask < 0.5)))
    family, subscriber = Inpaint(bundle, CPU, torch.float32), Listener()
    asked = tensors(
        source=encoded["encoded"],
        spread=encoded["spread"],
        hole=torch.nn.functional.interpolate(mask[None], size=encoded["encoded"].shape[1:])[0],
        text=words.answer(tensors(family=bundle.name, text=prompt))["embedding"],
        no_text=words.answer(tensors(family=bundle.name, text=negative))["embedding"],
        seed=torch.tensor([seed]),
        steps=torch.tensor([steps]),
        guidance=torch.tensor([guidance]),
        scheduler=scheduler,
    )
    cache = AdapterCache(family.network, 1 << 30)
    if adapter:
        loaded = family.adapter(file(adapted(family.network, adapter)))
        cache.add(loaded)
        asked["adapters"] = json_text.to_tensor([{"key": loaded.key, "strength": STRENGTHS[adapter]}])
    loop = engine(family, adapters=cache)
    loop.admit(family.request(asked), subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None
    decoded = vae.answer(tensors(family=bundle.name, latents=subscriber.latents))["decoded"]
    return ((decoded / 2 + 0.5).clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()


def by_diffusers(
    bundle: Bundle, picture: Image.Image, hole: Image.Image, setting: tuple, seed: int, adapter: str = ""
) -> np.ndarray:
    width, height, steps, guidance, scheduler, prompt, negative, _ = setting
    pipeline = diffusers.StableDiffusionInpaintPipeline(
        **{name: bundle.network(name) for name in ("vae", "text_encoder", "unet")},
        tokenizer=bundle.tokenizer(),
        # Without the last setting the pipeline would complain of PNDM's slow start, and leave it out itself.
        scheduler=SCHEDULES[scheduler].scheduler.from_config(bundle.scheduler_config(), skip_prk_steps=True),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    if adapter == "lora":
        pipeline.load_lora_weights(adapted(pipeline.unet, adapter), adapter_name="adapter")
        pipeline.set_adapters("adapter", STRENGTHS[adapter])
    elif adapter == "weights":
        pipeline.unet.load_state_dict(adapted(pipeline.unet, adapter), strict=False)
    made = pipeline(
        prompt,
        image=picture,
        mask_image=hole,
        height=height,
        width=width,
        strength=1.0,
        num_inference_steps=steps,
        guidance_scale=guidance,
        negative_prompt=negative,
        generator=torch.Generator().manual_seed(seed),
    )
    return np.asarray(made.images[0]).astype(float)


def adapted(network: torch.nn.Module, adapter: str) -> dict[str, torch.Tensor]:
    """The tensors of an adapter: of every layer it can be for, or of attention alone."""
    if adapter == "lora":
        return keyed(matrices(network, (), rank=3, seed=2), "diffusers")
    return own_weights(network, seed=2)


@pytest.mark.parametrize("adapter", ["", "lora", "weights"], ids=["plain", "lora", "weights"])
@pytest.mark.parametrize("setting", SETTINGS, ids=lambda s: "-".join(str(part) for part in s[:5]))
def test_filled_pictures_equal_those_of_diffusers(scheduled, setting, adapter):
    seed = SETTINGS.index(setting)
    bundle = scheduled(json.dumps(setting[-1]))
    picture, hole = damaged(*setting[:2], seed)
    ours = by_us(bundle, picture, hole, setting, seed, adapter)
    theirs = by_diffusers(bundle, picture, hole, setting, seed, adapter)
    assert theirs.std() > 1, "a flat picture would prove nothing"
    assert np.abs(ours - theirs).max() <= 1
    if adapter:
        plain = by_us(bundle, picture, hole, setting, seed, "")
        assert np.abs(ours - plain).max() > 3, "an adapter that changes nothing would prove nothing"


def test_settings_reach_every_scheduler_and_every_schedule():
    assert {setting[4] for setting in SETTINGS} == set(DIFFUSION)
    assert all(any(s[-1] is each for s in SETTINGS) for each in (VELOCITY, EPSILON, NOISE_TO_THE_END))


def asked(seed: int = 1, *, side: int = 6, steps: int = 4, scheduler: str = "ddim", **more) -> dict:
    """A request's tensors; all but its settings follow from the seed."""
    generator = torch.Generator().manual_seed(seed + 1000)
    named = {
        "source": torch.randn(4, side, side, generator=generator),
        "spread": torch.rand(4, side, side, generator=generator),
        "hole": torch.randint(0, 2, (1, side, side), generator=generator).float(),
        "text": torch.randn(5, 32, generator=generator),
        "no_text": torch.randn(5, 32, generator=generator),
        "seed": torch.tensor([seed]),
        "steps": torch.tensor([steps]),
        "scheduler": scheduler,
        **more,
    }
    return tensors(**{name: value for name, value in named.items() if value is not None})


def made(family: Inpaint, **settings) -> torch.Tensor:
    """The latents of a request that steps alone."""
    loop, subscriber = engine(family), Listener()
    loop.admit(family.request(asked(**settings)), subscriber)
    run_to_the_end(loop)
    assert subscriber.latents is not None
    return subscriber.latents


@settings(max_examples=12)
@given(
    crowd=some.lists(
        some.tuples(
            some.integers(0, 99),
            some.integers(1, 6),
            some.sampled_from([4, 6]),
            some.integers(0, 6),
            some.sampled_from(sorted(DIFFUSION)),
        ),
        max_size=5,
    ),
    leaves=some.sets(some.integers(0, 4), max_size=3),
    at=some.integers(0, 4),
    scheduler=some.sampled_from(sorted(DIFFUSION)),
)
def test_beside_any_crowd_a_filling_is_the_one_made_alone(family, crowd, leaves, at, scheduler):
    """Others join and leave. Reproducible: the same bytes. Otherwise only rounding differs."""
    mine = {"seed": 7, "steps": 5, "scheduler": scheduler}
    pinned_on = {"reproducible": torch.tensor([1])}
    loop, shared, pinned = engine(family), Listener(), Listener()
    others = [Listener() for _ in crowd]
    for turn in range(7):
        if turn == at:
            loop.admit(family.request(asked(**mine)), shared)
            loop.admit(family.request(asked(**mine, **pinned_on)), pinned)
        for (seed, steps, side, joins, rule), other in zip(crowd, others, strict=True):
            if joins == turn:
                loop.admit(family.request(asked(seed, steps=steps, side=side, scheduler=rule)), other)
        for index in leaves:
            if index < len(others) and turn == index + 1:
                others[index].left = True
        loop.step()
    run_to_the_end(loop)
    assert shared.latents is not None and pinned.latents is not None
    assert pinned.latents.numpy().tobytes() == made(family, **mine, **pinned_on).numpy().tobytes()
    torch.testing.assert_close(shared.latents, made(family, **mine), rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    ("change", "evaluations"),
    [
        ({}, 2),
        ({"guidance": torch.tensor([1.0])}, 1),
        ({"guidance": torch.tensor([0.0])}, 1),
        ({"text": torch.ones(5, 32), "no_text": torch.ones(5, 32)}, 1),
    ],
    ids=["guided", "words only", "other words only", "equal words"],
)
def test_branches_that_cannot_matter_are_not_evaluated(family, change, evaluations):
    made = family.request(asked(**change))
    assert len(made.branches) == evaluations
    assert sum(made.guide.weights) == pytest.approx(1.0)


def test_without_a_spread_the_mean_latents_are_used_and_the_generator_advances_as_with_one(family):
    none = torch.zeros(4, 6, 6)
    shown = family.request(asked(spread=None)).branches[0].inputs["condition"]
    assert torch.equal(shown, torch.cat([asked()["hole"], asked()["source"]]))
    without, zero = (made(family, scheduler="euler_ancestral", spread=spread) for spread in (None, none))
    assert torch.equal(without, zero)


def test_where_a_bundle_does_not_say_how_it_wants_to_be_used_there_are_usual_settings(bundle, tmp_path):
    copy = Path(shutil.copytree(bundle.folder, tmp_path / "sd2_inpaint"))
    (copy / "intarsia.json").unlink()
    facts = Inpaint(Bundle.open(copy), CPU, torch.float32).facts()
    assert facts["defaults"] == {"steps": 30, "scheduler": "ddim"}
    assert facts["guidance"]["guidance"]["default"] == 5.0 and facts["preparation"] == {"margin": 4}
    assert (facts["size"], facts["multiple"]) == (128, 8)


def test_weights_that_were_made_for_something_else_are_refused(ip2p):
    with pytest.raises(
        BundleError, match="its UNet takes 8 channels and gives 4, but one that takes 5 beside"
    ):
        Inpaint(ip2p, CPU, torch.float32)


def test_a_gradient_can_be_followed_from_predictions(family):
    """Tensors of inference mode could not be used for that."""
    predictions = family.predict(family.sample(1, 64))
    assert not predictions.is_inference() and not predictions.requires_grad
    predictions.requires_grad_().sum().backward()


def test_a_pass_can_be_measured(family):
    assert family.predict(family.sample(2, 64)).shape == (2, 4, 8, 8)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"source": None}, "source is missing"),
        ({"source": torch.zeros(4, 0, 6)}, "source must have sides of 1 to 256"),
        ({"source": torch.full((4, 6, 6), torch.nan)}, "source must hold finite numbers"),
        ({"hole": None}, "hole is missing"),
        ({"hole": torch.zeros(1, 6, 7)}, r"hole must be \(1, 6, 6\), of source's size, not \(1, 6, 7\)"),
        ({"hole": torch.full((1, 6, 6), 0.5)}, "hole must hold 0 and 1 only"),
        ({"hole": torch.full((1, 6, 6), torch.nan)}, "hole must hold 0 and 1 only"),
        ({"spread": torch.zeros(4, 6, 7)}, r"spread must be shaped like source, \(4, 6, 6\), but is"),
        ({"spread": torch.full((4, 6, 6), -1.0)}, "spread must not be negative"),
        ({"spread": torch.full((4, 6, 6), torch.nan)}, "spread must not be negative"),
        ({"spread": torch.full((4, 6, 6), torch.inf)}, "spread must hold finite numbers"),
        ({"text": torch.zeros(5, 7)}, "text must be 1 to 1024 tokens of width 32"),
        ({"guidance": torch.tensor([7.5, 1.5])}, r"guidance must hold 1 numbers \(guidance\), not \(2,\)"),
        ({"guidance": torch.tensor([101.0])}, r"guidance must be in \[0, 100\], not 101.0"),
        ({"steps": torch.tensor([0])}, r"steps must be in \[1, \d+\], not 0"),
        ({"scheduler": "heun"}, "scheduler must be one of ddim, .* not 'heun'"),
    ],
)
def test_a_wrong_tensor_is_named_with_the_remedy(family, change, complaint):
    with pytest.raises(Refusal, match=f"INVALID_FIELD: {complaint}"):
        family.request(asked(**change))


def test_folders_of_older_days_are_bundles_too(bundle, tmp_path):
    """They leave the scale of latents and the kind of prediction to the classes they are for."""
    old = Path(shutil.copytree(bundle.folder, tmp_path / "sd2_inpaint"))
    vae, scheduler = old / "vae" / "config.json", old / "scheduler" / "scheduler_config.json"
    said = json.loads(vae.read_text())
    del said["scaling_factor"]
    vae.write_text(json.dumps(said))
    said = {**json.loads(scheduler.read_text()), "_class_name": "PNDMScheduler", "skip_prk_steps": True}
    del said["prediction_type"]
    scheduler.write_text(json.dumps(said))
    setting = (64, 64, 5, 4.0, "pndm", "the sky", "", {})
    picture, hole = damaged(64, 64, 3)
    ours = by_us(Bundle.open(old), picture, hole, setting, 3)
    assert np.abs(ours - by_diffusers(Bundle.open(old), picture, hole, setting, 3)).max() <= 1
    assert Inpaint(Bundle.open(old), CPU, torch.float32).facts()["defaults"]["scheduler"] == "pndm"

"""Fills through everything: as diffusers makes them, with adapters, by words, and beside others."""

from __future__ import annotations

import io
import random
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import torch
from PIL import Image

import intarsia
from canvas.membrane import close_seam
from intarsia import errors
from services.bundles.bundle import Bundle
from tests.e2e.conftest import THREADS
from tests.services.test_sd2_inpaint import SETTINGS, VELOCITY, adapted, by_diffusers, damaged
from training.tiny.adapters import file, lora

# As the random weights are scheduled.
SERVED = [setting for setting in SETTINGS if setting[-1] is VELOCITY]


@pytest.fixture(scope="module")
def bundle(weights) -> Bundle:
    torch.set_num_threads(THREADS)
    return Bundle.open(weights / "sd2_inpaint")


def png(picture: Image.Image) -> bytes:
    data = io.BytesIO()
    picture.save(data, "PNG")
    return data.getvalue()


def pixels(client: intarsia.Client, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.read(name))))


@pytest.mark.parametrize("worn", ["", "lora"], ids=["plain", "lora"])
@pytest.mark.parametrize("setting", SERVED, ids=lambda s: "-".join(str(part) for part in s[:5]))
def test_served_fills_equal_those_of_diffusers(client: intarsia.Client, bundle: Bundle, setting, worn):
    width, height, steps, guidance, scheduler, prompt, negative, _ = setting
    seed = width * 1000 + height
    picture, hole = damaged(width, height, seed)
    style = {file(adapted(bundle.network("unet"), worn)).numpy().tobytes(): 0.8} if worn else None
    job = client.fill_region(
        png(picture),
        intarsia.mask(png(hole), inside="white").feathered(0),
        prompt,
        negative_prompt=negative,
        seed=seed,
        steps=steps,
        guidance=guidance,
        scheduler=scheduler,
        layout="whole",
        working_size=max(width, height),
        margin=0,
        adapters=style,
    )
    result = job.result(timeout=120)
    assert (result.manifest.working_width, result.manifest.working_height) == (width, height)
    ours, inside = pixels(client, result.picture).astype(int), np.asarray(hole) > 0
    drawn = by_diffusers(bundle, picture, hole, setting, seed, worn).astype(np.uint8)
    theirs = close_seam(drawn, np.asarray(picture), inside).astype(int)
    assert theirs[inside].std() > 1, "a flat picture would prove nothing"
    assert np.abs(ours - theirs)[inside].max() <= 1
    np.testing.assert_array_equal(ours[~inside], np.asarray(picture)[~inside])


def test_two_adapters_and_the_base_at_random_by_six_clients(stack, bundle: Bundle):
    """Every picture is the one made alone: the same bytes where that was asked for, else within 1/255."""
    network = bundle.network("unet")
    styles = [None, *({lora(network, seed).numpy().tobytes(): 1.0} for seed in (1, 2))]
    picture, hole = (png(each) for each in damaged(96, 72, 5))
    where = intarsia.mask(hole, inside="white").feathered(2)

    def fill(client: intarsia.Client, style: int, seed: int, pinned: bool) -> np.ndarray:
        settings = {"seed": seed, "steps": 6, "reproducible": pinned, "adapters": styles[style]}
        job = client.fill_region(picture, where, "a red circle", guidance=3.0, **settings)
        return pixels(client, job.result(timeout=120).picture).astype(int)

    asked = [(style, seed, pinned) for style in range(3) for seed in (1, 2) for pinned in (True, False)]
    with intarsia.Client(stack.address) as client:
        alone = {each: fill(client, *each) for each in asked}
    assert np.abs(alone[0, 1, True] - alone[1, 1, True]).max() > 3, "the adapters change something"

    def one_client(number: int) -> None:
        rng = random.Random(number)
        with intarsia.Client(stack.address) as mine:
            for each in rng.choices(asked, k=6):
                off = np.abs(fill(mine, *each) - alone[each]).max()
                assert off <= (0 if each[2] else 1), (each, off)

    with ThreadPoolExecutor(6) as clients:
        for done in [clients.submit(one_client, number) for number in range(6)]:
            done.result(timeout=300)


def test_candidates_share_passes(client: intarsia.Client):
    picture, hole = (png(each) for each in damaged(96, 72, 5))
    where = intarsia.mask(hole, inside="white")
    four = client.fill_region(picture, where, seed=20, steps=5, candidates=4).result(timeout=120)
    assert [one.seed for one in four.candidates] == [20, 21, 22, 23]
    for one in four.candidates:
        alone = client.fill_region(picture, where, seed=one.seed, steps=5).result(timeout=120)
        ours, theirs = (pixels(client, name).astype(int) for name in (one.picture, alone.picture))
        assert np.abs(ours - theirs).max() <= 1


def test_an_adapter_of_another_network_is_refused_with_the_reason(client: intarsia.Client, weights):
    """A LoRA whose shapes are not this network's."""
    from safetensors.torch import save

    name = "down_blocks.0.attentions.0.transformer_blocks.0.attn1.to_q"
    wrong = {f"unet.{name}.lora_A.weight": torch.zeros(2, 7), f"unet.{name}.lora_B.weight": torch.zeros(7, 2)}
    with pytest.raises(errors.InvalidRequest) as refused:
        client.inspect_adapter(save(wrong), "sd2_inpaint")
    assert refused.value.field == "adapter" and "to_q" in str(refused.value)
    found = client.inspect_adapter(
        lora(Bundle.open(weights / "ip2p").network("unet")).numpy().tobytes(), "ip2p_unet"
    )
    assert found.matched > 0 and found.layout == "diffusers"

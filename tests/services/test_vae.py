from __future__ import annotations

import json
import shutil
from itertools import pairwise

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL
from diffusers.image_processor import VaeImageProcessor
from hypothesis import given
from hypothesis import strategies as some

from canvas.crop import PixelBox, WorkingSize
from canvas.patch import cut, cut_sheet, restore
from services.bundles.bundle import Bundle
from services.refusal import Refusal
from services.vae.levels import to_numbers
from services.vae.service import Vae
from services.vae.tiles import Tiling, by_tiles, windows
from tests.services.calls import refusal, tensors

CPU = torch.device("cpu")
EIGHT = torch.tensor([8], dtype=torch.uint8)
SMALL_TILES = Tiling(above=64 * 64, side=128, overlap=32)


@pytest.fixture(scope="module")
def service(ip2p: Bundle) -> Vae:
    return Vae([ip2p], CPU, torch.float32)


@pytest.fixture(scope="module")
def tiled(ip2p: Bundle) -> Vae:
    return Vae([ip2p], CPU, torch.float32, SMALL_TILES)


@pytest.fixture(scope="module")
def reference(ip2p: Bundle) -> AutoencoderKL:
    return AutoencoderKL.from_pretrained(ip2p.folder / "vae", local_files_only=True)


def picture(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(3, height, width, generator=torch.Generator().manual_seed(seed)) * 2 - 1


def latents(height: int, width: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(4, height, width, generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize(("height", "width"), [(8, 8), (64, 128), (136, 72)])
def test_latents_are_the_most_likely_ones_in_the_denoisers_units(service, reference, height, width):
    source = picture(height, width)
    with torch.inference_mode():
        found = reference.encode(source[None]).latent_dist
    answer = service.answer(tensors(family="ip2p", picture=source))
    scale = reference.config.scaling_factor
    torch.testing.assert_close(answer["encoded"], found.mode()[0] * scale, rtol=0, atol=1e-6)
    torch.testing.assert_close(answer["spread"], found.std[0] * scale, rtol=0, atol=1e-6)


@pytest.mark.parametrize(("height", "width"), [(1, 1), (8, 16), (17, 9)])
def test_a_decoded_picture_is_the_one_that_diffusers_shows(service, reference, height, width):
    drawn = latents(height, width)
    with torch.inference_mode():
        wanted = reference.decode(drawn[None] / reference.config.scaling_factor).sample
    decoded = service.answer(tensors(family="ip2p", latents=drawn))["decoded"]
    torch.testing.assert_close(decoded, wanted[0], rtol=0, atol=1e-6)
    shown = VaeImageProcessor().postprocess(wanted, output_type="pt")[0]
    torch.testing.assert_close((decoded / 2 + 0.5).clamp(0, 1), shown, rtol=0, atol=1e-6)


def test_pixels_are_the_bytes_that_a_caller_makes_of_the_decoded_picture(service):
    drawn = latents(9, 16)
    decoded = service.answer(tensors(family="ip2p", latents=drawn))["decoded"].numpy()
    pixels = service.answer(tensors(family="ip2p", latents=drawn, depth=EIGHT))["pixels"]
    box, working = PixelBox(0, 0, 128, 72), WorkingSize(128, 72, 0, 0, 128, 72)
    assert pixels.dtype == torch.uint8 and pixels.numpy().std() > 1
    assert np.array_equal(pixels.numpy().transpose(1, 2, 0), restore(decoded, box, working))


def test_pixels_are_encoded_to_the_bytes_of_the_picture_a_caller_makes_of_them(service):
    levels = np.arange(3 * 32 * 32).reshape(32, 32, 3).astype(np.uint8)  # all there are
    sheet = PixelBox(0, 0, 32, 32), WorkingSize(32, 32, 0, 0, 32, 32)
    pixels, unit = torch.from_numpy(cut_sheet(levels, *sheet)), torch.from_numpy(cut(levels, *sheet))
    assert torch.equal(to_numbers(pixels), unit)
    ours, theirs = (
        service.answer(tensors(family="ip2p", **one)) for one in ({"pixels": pixels}, {"picture": unit})
    )
    assert torch.equal(ours["encoded"], theirs["encoded"]) and torch.equal(ours["spread"], theirs["spread"])


def test_other_requests_change_no_bit_of_a_picture(service):
    """The second of two requests gets what it gets alone."""
    alone = service.answer(tensors(family="ip2p", latents=latents(8, 8, 1)))["decoded"]
    service.answer(tensors(family="ip2p", latents=latents(8, 8, 2)))
    assert torch.equal(service.answer(tensors(family="ip2p", latents=latents(8, 8, 1)))["decoded"], alone)


def test_seams_between_tiles_do_not_show(service, tiled):
    """What tiles get wrong changes smoothly: nowhere is its step from line to line much above the usual."""
    drawn = latents(40, 48)
    whole = service.answer(tensors(family="ip2p", latents=drawn))["decoded"]
    error = tiled.answer(tensors(family="ip2p", latents=drawn))["decoded"] - whole
    for axis in (1, 2):
        others = tuple({0, 1, 2} - {axis})
        steps, texture = (shown.diff(dim=axis).abs().mean(others) for shown in (error, whole))
        assert float(steps.max()) < 2.0 * float(steps.median())
        assert float(steps.max()) < 0.6 * float(texture.median())


def test_the_spread_of_a_large_picture_is_that_of_its_tiles(service, tiled):
    """Where no tile has a neighbour it is the tile's own; nowhere is it mixed with the latents."""
    source = picture(64, 224)  # two tiles of 128, the left one alone up to 96
    whole = tiled.answer(tensors(family="ip2p", picture=source))
    left = service.answer(tensors(family="ip2p", picture=source[..., :128]))
    for name in ("encoded", "spread"):
        assert whole[name].shape == (4, 8, 28)
        torch.testing.assert_close(whole[name][..., :12], left[name][..., :12], rtol=0, atol=1e-6)
    assert float(whole["spread"].min()) > 0


def test_tiles_stay_closer_to_the_whole_than_diffusers_own(service, tiled, reference):
    drawn = latents(40, 48)
    whole = service.answer(tensors(family="ip2p", latents=drawn))["decoded"]
    ours = tiled.answer(tensors(family="ip2p", latents=drawn))["decoded"]
    theirs_network = AutoencoderKL.from_config(reference.config).eval()
    theirs_network.load_state_dict(reference.state_dict())
    theirs_network.enable_tiling()
    theirs_network.tile_latent_min_size, theirs_network.tile_sample_min_size = 16, 128
    with torch.inference_mode():
        theirs = theirs_network.decode(drawn[None] / reference.config.scaling_factor).sample[0]
    assert float((ours - whole).square().mean()) < float((theirs - whole).square().mean())


def test_a_large_picture_needs_no_larger_pass(tiled):
    """Memory is flat because no pass sees more than one tile."""
    seen = []
    codec = tiled._codecs["ip2p"]
    network = codec.encoder.network
    hooks = [
        network.encoder.register_forward_pre_hook(lambda _, given: seen.append(given[0].shape[-2:].numel())),
        network.decoder.register_forward_pre_hook(
            lambda _, given: seen.append(given[0].shape[-2:].numel() * 64)
        ),
    ]
    encoded = tiled.answer(tensors(family="ip2p", picture=picture(320, 456)))["encoded"]
    decoded = tiled.answer(tensors(family="ip2p", latents=encoded))["decoded"]
    for hook in hooks:
        hook.remove()
    assert decoded.shape == (3, 320, 456)
    assert max(seen) == SMALL_TILES.side**2
    assert len(seen) > 10


@given(some.integers(1, 400), some.integers(2, 64), some.data())
def test_windows_cover_everything_and_overlap_as_requested(length, side, data):
    overlap = data.draw(some.integers(1, side - 1))
    found = windows(length, side, overlap)
    assert found[0][0] == 0 and found[-1][1] == length
    assert all(end - start == min(side, length) for start, end in found)
    assert all(before[1] - after[0] >= overlap for before, after in pairwise(found))


@given(some.integers(1, 40), some.integers(1, 40), some.integers(2, 12), some.data())
def test_tiles_of_something_that_looks_at_single_cells_make_the_whole(height, width, side, data):
    """Mixing adds up to one everywhere: nothing is darkened or counted twice."""
    overlap = data.draw(some.integers(1, side - 1))
    values = torch.rand(1, 2, height * 2, width * 2)
    mixed = by_tiles(values, lambda part: part * 3, cells=(2, 2), side=side, overlap=overlap)
    torch.testing.assert_close(mixed, values * 3)


def test_weights_that_overflow_in_half_precision_are_kept_in_single(ip2p, tmp_path):
    careful = Bundle.open(shutil.copytree(ip2p.folder, tmp_path / "careful"))
    config = careful.folder / "vae" / "config.json"
    for upcast, dtype in ((True, torch.float32), (False, torch.float16)):
        config.write_text(json.dumps({**json.loads(config.read_text()), "force_upcast": upcast}))
        service = Vae([careful], CPU, torch.float16)
        assert service._codecs["careful"].decoder.network.dtype == dtype


@pytest.mark.parametrize(
    ("inputs", "reason", "words"),
    [
        ({"picture": picture(8, 8)}, "INVALID_FIELD", "family is missing"),
        ({"family": "b", "picture": picture(8, 8)}, "NOT_FOUND", "loaded: ip2p"),
        ({"family": "ip2p"}, "INVALID_FIELD", "picture or pixels or latents must be given"),
        ({"family": "ip2p", "picture": picture(8, 8), "latents": latents(1, 1)}, "INVALID_FIELD", "only one"),
        ({"family": "ip2p", "picture": picture(8, 12)}, "INVALID_FIELD", "multiples of 8, not 12 x 8"),
        ({"family": "ip2p", "pixels": picture(8, 12).byte()}, "INVALID_FIELD", "multiples of 8, not 12 x 8"),
        ({"family": "ip2p", "pixels": picture(8, 8)}, "INVALID_FIELD", "pixels must be UINT8"),
        ({"family": "ip2p", "picture": picture(8, 8), "depth": EIGHT}, "INVALID_FIELD", "come with latents"),
        ({"family": "ip2p", "latents": latents(1, 1), "depth": 2 * EIGHT}, "INVALID_FIELD", "must be 8"),
        (
            {"family": "ip2p", "picture": picture(8, 8)[:2]},
            "INVALID_FIELD",
            "(3, height, width), not (2, 8, 8)",
        ),
        ({"family": "ip2p", "picture": torch.zeros(3, 0, 8)}, "INVALID_FIELD", "multiples of 8"),
        ({"family": "ip2p", "picture": picture(8, 8).double()}, "INVALID_FIELD", "must be FP32"),
        ({"family": "ip2p", "picture": picture(8, 8) * 127}, "INVALID_FIELD", "[-1, 1]; divide bytes"),
        ({"family": "ip2p", "picture": torch.full((3, 8, 8), torch.nan)}, "INVALID_FIELD", "[-1, 1]"),
        ({"family": "ip2p", "picture": torch.zeros(1).expand(3, 2048, 2056)}, "INVALID_FIELD", "smaller"),
        (
            {"family": "ip2p", "latents": latents(2, 2)[:3]},
            "INVALID_FIELD",
            "(4, height, width), not (3, 2, 2)",
        ),
        ({"family": "ip2p", "latents": torch.zeros(4, 0, 2)}, "INVALID_FIELD", "must not be empty"),
        ({"family": "ip2p", "latents": torch.full((4, 2, 2), torch.inf)}, "INVALID_FIELD", "finite"),
        ({"family": "ip2p", "latents": torch.zeros(1).expand(4, 256, 257)}, "INVALID_FIELD", "smaller"),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(service, inputs, reason, words):
    refused = refusal(service, **inputs)
    assert refused.reason == reason
    assert words in refused.message


@pytest.mark.parametrize("tiling", [Tiling(), SMALL_TILES], ids=["whole", "tiles"])
@pytest.mark.parametrize("given", [{"picture": picture(128, 128)}, {"latents": latents(16, 16)}])
def test_numbers_that_are_not_finite_are_refused(ip2p, tiling, given):
    service = Vae([ip2p], CPU, torch.float32, tiling)
    for part in ("encoder", "decoder"):
        bias = getattr(service._codecs["ip2p"].decoder.network, part).conv_out.bias
        bias[0] = torch.inf
    refused = refusal(service, family="ip2p", **given)
    assert refused.reason == "INTERNAL" and "not finite" in refused.message


def test_the_digest_is_that_of_the_family(service, ip2p):
    assert service.digest(tensors(family="ip2p")) == ip2p.digest_of("vae")
    with pytest.raises(Refusal, match="'other' is not loaded"):
        service.digest(tensors(family="other"))


def test_the_facts_say_which_weights_and_how_latents_are_scaled(service, ip2p):
    assert service.facts()["families"]["ip2p"] == {
        "weights": ip2p.digest_of("vae"),
        "channels": 4,
        "factor": 8,
        "scale": 0.18215,
    }

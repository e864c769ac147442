from __future__ import annotations

import pytest

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle, BundleError
from services.bundles.published_configs import IP2P, SAM2, SD2_INPAINT, sam2_config


@pytest.mark.parametrize(
    ("component", "count"),
    # The UNet of Stable Diffusion 1.5 has 859,520,964; four more channels in are 4 * 320 * 9 more.
    [("unet", 859_520_964 + 4 * 320 * 9), ("vae", 83_653_863), ("text_encoder", 123_060_480)],
)
def test_the_networks_of_instruct_pix2pix_have_their_published_sizes(component, count):
    network = build_on_meta(component, Bundle.open(IP2P).config(component))
    assert sum(parameter.numel() for parameter in network.parameters()) == count
    assert {parameter.device.type for parameter in network.parameters()} == {"meta"}


@pytest.mark.parametrize(
    ("component", "count"),
    # The UNet of Stable Diffusion 2 has 865,910,724; five more channels in are 5 * 320 * 9 more.
    [("unet", 865_910_724 + 5 * 320 * 9), ("vae", 83_653_863), ("text_encoder", 340_387_840)],
)
def test_the_networks_of_stable_diffusion_2_inpainting_have_their_published_sizes(component, count):
    network = build_on_meta(component, Bundle.open(SD2_INPAINT).config(component))
    assert sum(parameter.numel() for parameter in network.parameters()) == count


@pytest.mark.parametrize(
    ("name", "millions"),
    [
        ("sam2.1_hiera_t", 38.9),
        ("sam2.1_hiera_s", 46.0),
        ("sam2.1_hiera_b+", 80.8),
        ("sam2.1_hiera_l", 224.4),
    ],
)
def test_sam_2_has_its_published_sizes(name, millions):
    network = build_on_meta("sam", sam2_config(name))
    assert round(sum(parameter.numel() for parameter in network.parameters()) / 1e6, 1) == pytest.approx(
        millions, abs=0.11
    )
    assert network.image_size == 1024
    assert network.sam_mask_decoder.dynamic_multimask_via_stability


def test_sam_3_has_its_published_size():
    """Of the part that finds things; what follows them through clips is not in a text head."""
    network = build_on_meta("text_head", {"architectures": ["Sam3Model"]})
    assert sum(parameter.numel() for parameter in network.parameters()) == 840_376_374
    assert network.config.image_size == 1008
    assert network.config.text_config.max_position_embeddings == 32


def test_the_older_sam_2_is_known_too():
    assert {name for name in SAM2 if name.startswith("sam2_")} == {f"sam2_hiera_{size}" for size in "tsl"} | {
        "sam2_hiera_b+"
    }
    for name in SAM2:
        assert sam2_config(name)["model"]["_target_"] == "sam2.modeling.sam2_base.SAM2Base"


def test_an_unknown_size_is_refused_with_the_known_ones():
    with pytest.raises(BundleError, match=r"there are sam2\.1_hiera_t"):
        sam2_config("sam2.1_hiera_xl")


def test_the_published_scheduler_and_defaults_are_those_of_the_paper():
    published = Bundle.open(IP2P)
    assert published.scheduler_config()["beta_end"] == 0.012
    assert published.defaults == {"steps": 20, "guidance": 7.5, "picture_guidance": 1.5}
    assert published.sizes == {512: {}}
    assert 2 ** (len(published.config("vae")["block_out_channels"]) - 1) == 8

"""The bundles in git: stock classes load them strictly, and they do what their cards say.

Thresholds here are well under the cards' figures: a sample of a dozen is noisy, and these tests are about
bundles that broke, not about decimals. `python -m training.recipes.evaluate` measures.
"""

import json
from pathlib import Path

import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file
from transformers import CLIPSegForImageSegmentation, CLIPTextModel, CLIPTokenizer

from services.bundles.bundle import open_bundles
from training.recipes import figures_of_ip2p, figures_of_sam, figures_of_sd2_inpaint, sam_config
from training.recipes.edit_measure import edit_figures
from training.recipes.fill_measure import fill_figures
from training.recipes.options import STARTER
from training.recipes.sam_measure import click_figures, track_figures
from training.recipes.text_measure import text_figures

LATENT = ("ip2p", "sd2_inpaint")
HELD_OUT = "validation"  # the test split is for the cards alone


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def stored(folder: Path) -> dict[str, torch.Tensor]:
    (file,) = folder.glob("*.safetensors")
    return load_file(file)


def test_every_bundle_has_its_card():
    weights = open_bundles(STARTER)
    assert sorted(weights) == ["ip2p", "sam", "sd2_inpaint"]
    for name, bundle in weights.items():
        assert bundle.card["figures"] and bundle.card["recipe"]
        assert (STARTER / name / "README.md").read_text().startswith(f"# {name}")


def test_all_bundles_together_stay_small():
    assert 1e6 < sum(file.stat().st_size for file in STARTER.rglob("*") if file.is_file()) < 60e6


def test_a_bundle_does_not_reveal_where_it_was_made():
    for file in STARTER.rglob("*.json"):
        settings = json.loads(file.read_text())
        assert "_name_or_path" not in settings


@pytest.mark.parametrize("bundle", LATENT)
@pytest.mark.parametrize("part", ["vae", "unet"])
def test_diffusers_networks_hold_exactly_what_is_stored(bundle, part):
    kind = {"vae": AutoencoderKL, "unet": UNet2DConditionModel}[part]
    folder = STARTER / bundle / part
    state = stored(folder)
    network = kind.from_config(kind.load_config(folder))
    network.load_state_dict(state, strict=True)
    assert all(tensor.dtype == torch.float16 for tensor in state.values())


@pytest.mark.parametrize("bundle", LATENT)
def test_text_encoders_are_named_as_published_ones(bundle):
    folder = STARTER / bundle / "text_encoder"
    assert all(name.startswith("text_model.") for name in stored(folder))
    _, report = CLIPTextModel.from_pretrained(folder, output_loading_info=True)
    assert not any(report.values())


@pytest.mark.parametrize("bundle", LATENT)
def test_any_words_have_tokens(bundle):
    tokenizer = CLIPTokenizer.from_pretrained(STARTER / bundle / "tokenizer")
    assert tokenizer.tokenize("make the Circle blue") == ["make</w>", "the</w>", "circle</w>", "blue</w>"]
    ids = tokenizer("a zebra, naïvely: 日本!", padding="max_length", truncation=True).input_ids
    assert len(ids) == 32 and ids[0] == tokenizer.bos_token_id and tokenizer.eos_token_id in ids


def test_the_autoencoder_rebuilds_scenes():
    vae = AutoencoderKL.from_pretrained(STARTER / "ip2p" / "vae")
    assert figures_of_ip2p.vae_psnr(vae, HELD_OUT, 20) > 31.0


def test_instructions_recolour_remove_and_reshape():
    said = edit_figures(figures_of_ip2p.load(STARTER / "ip2p"), HELD_OUT, 24)
    assert said["recolour right"] > 0.8
    assert said["remove nearer"] > 0.9
    assert said["reshape IoU"] > said["reshape idle IoU"] + 0.05
    assert said["background dB"] > 25


def test_holes_are_filled_nearer_to_the_truth_than_by_telea():
    said = fill_figures(figures_of_sd2_inpaint.load(STARTER / "sd2_inpaint"), HELD_OUT, 24)
    assert said["textured over Telea dB"] > 0
    assert said["all over mean dB"] > 1.5


def test_sam_is_described_by_classes_of_sam2_alone():
    def targets(node):
        if isinstance(node, dict):
            yield from [node["_target_"]] if "_target_" in node else []
            for value in node.values():
                yield from targets(value)

    settings = sam_config.read(STARTER / "sam" / "config.yaml")
    found = list(targets(settings))
    assert settings["model"]["_target_"] == "sam2.modeling.sam2_base.SAM2Base"
    assert len(found) > 8 and all(target.startswith("sam2.") for target in found)


def test_a_click_selects_and_is_followed():
    sam = figures_of_sam.load(STARTER / "sam")
    said = click_figures(sam, HELD_OUT, 10)
    assert said["click deepest"] > 0.8 and said["click random"] > 0.75
    assert track_figures(sam, HELD_OUT, 3)["track 8"] > 0.6


def test_the_stock_video_predictor_follows_through_files():
    predictor = figures_of_sam.load(STARTER / "sam", video=True)
    rows = figures_of_sam.track_ious(predictor, HELD_OUT, "drift", 0)
    assert rows and all(len(row) == 7 for row in rows)
    assert sum(map(sum, rows)) / (7 * len(rows)) > 0.6


def test_words_find_what_they_name():
    folder = STARTER / "sam" / "text_head"
    model = CLIPSegForImageSegmentation.from_pretrained(folder, dtype=torch.float32).eval()
    said = text_figures(model, CLIPTokenizer.from_pretrained(folder), HELD_OUT, 30)
    assert said["present IoU"] > 0.5
    assert said["swapped IoU"] < said["present IoU"] - 0.2

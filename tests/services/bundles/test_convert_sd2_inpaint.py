from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import (
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
)
from transformers import CLIPTextModel

from services.bundles import cli
from services.bundles.bundle import Bundle, BundleError
from services.bundles.convert import sd2_inpaint
from services.bundles.published_configs import SD2_INPAINT
from services.sd2_inpaint.family import Inpaint
from services.text_encoder.service import TextEncoder
from tests.services.bundles import original
from tests.services.bundles.open_clip import OpenClip
from tests.services.calls import tensors
from training.tiny import vocabulary

CPU = torch.device("cpu")
TEXT = "cond_stage_model.model."


@pytest.fixture(scope="module")
def configs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = original.narrow_configs(tmp_path_factory.mktemp("original") / "configs", of=SD2_INPAINT)
    set_up = json.loads((SD2_INPAINT / "tokenizer" / "tokenizer_config.json").read_text())
    (folder / "tokenizer").mkdir()
    (folder / "tokenizer" / "tokenizer_config.json").write_text(
        json.dumps({**set_up, "model_max_length": vocabulary.LENGTH})
    )
    return folder


@pytest.fixture(scope="module")
def tokenizer(configs: Path) -> Path:
    """The one of CLIP, which fills what is left of a text's room with its closing mark."""
    folder = configs.parent / "tokenizer"
    assert json.loads((folder / "tokenizer_config.json").read_text())["pad_token"] == vocabulary.END
    (folder / "special_tokens_map.json").write_text(json.dumps({"pad_token": vocabulary.END}))
    return folder


@pytest.fixture(scope="module")
def words(configs: Path) -> OpenClip:
    """Three layers, of which the third is never asked."""
    torch.manual_seed(5)
    count = Bundle.open(configs).config("text_encoder")["vocab_size"]
    return OpenClip(count, vocabulary.LENGTH, width=16, heads=2, inner=32, layers=3).eval()


@pytest.fixture(scope="module")
def networks(configs: Path) -> dict[str, original.Tensors]:
    return {**original.drawn(configs, 1), "text_encoder": {}}


@pytest.fixture(scope="module")
def state(networks: dict[str, original.Tensors], words: OpenClip) -> original.Tensors:
    state = original.instruct_pix2pix(networks, averaged=None)
    del state["cond_stage_model.transformer.text_model.embeddings.position_ids"]
    return state | {TEXT + name: value.detach().clone() for name, value in words.state_dict().items()}


@pytest.fixture(scope="module")
def file(state: original.Tensors, tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("checkpoint") / "512-inpainting-ema.ckpt"
    torch.save({"state_dict": state}, made)
    return made


@pytest.fixture(scope="module")
def bundle(file: Path, configs: Path, tokenizer: Path, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    to = tmp_path_factory.mktemp("weights") / "sd2_inpaint"
    return sd2_inpaint.convert(file, to, tokenizer=tokenizer, config=configs)


def test_every_tensor_arrives_where_diffusers_own_conversion_has_it(bundle, state, networks):
    unet, vae = (bundle.network(name).state_dict() for name in ("unet", "vae"))
    for ours, theirs in (
        (unet, networks["unet"]),
        (unet, convert_ldm_unet_checkpoint(dict(state), bundle.config("unet"))),
        (vae, networks["vae"]),
        (vae, convert_ldm_vae_checkpoint(dict(state), bundle.config("vae"))),
    ):
        assert ours.keys() == theirs.keys()
        assert all(torch.equal(ours[name], value) for name, value in theirs.items())


def test_words_mean_what_they_meant_before(bundle, words, state):
    """One encoder built as the original is, one as ours; and the tensors diffusers would have taken."""
    text = "a red circle"
    tokens = bundle.tokenizer()(text, padding="max_length", return_tensors="pt").input_ids
    said = TextEncoder([bundle], CPU, torch.float32).answer(tensors(family=bundle.name, text=text))
    torch.testing.assert_close(said["embedding"], words.penultimate(tokens)[0], rtol=1e-4, atol=1e-5)
    ours = CLIPTextModel.from_pretrained(bundle.folder / "text_encoder", local_files_only=True)
    theirs = {
        name.removeprefix("text_model."): value
        for name, value in convert_open_clip_checkpoint(ours, dict(state)).items()
    }
    for name, value in ours.state_dict().items():
        assert torch.equal(value, theirs[name.removeprefix("text_model.")]), name


def test_a_text_is_padded_as_in_openclip(bundle):
    tokens = bundle.tokenizer()("a red circle", padding="max_length").input_ids
    end = bundle.tokenizer().eos_token_id
    assert len(tokens) == vocabulary.LENGTH
    assert set(tokens[tokens.index(end) + 1 :]) == {0}


def test_the_bundle_fills_holes_as_it_was_published_to(bundle):
    family = Inpaint(bundle, CPU, torch.float32)
    facts = family.facts()
    assert facts["defaults"] == {"steps": 30, "scheduler": "pndm"}
    assert facts["guidance"]["guidance"]["default"] == 5 and facts["preparation"] == {"margin": 4}
    assert bool(torch.isfinite(family.predict(family.sample(1, 64))).all())


def test_a_text_encoder_of_another_depth_is_found_out(configs, tokenizer, state, tmp_path):
    deeper = state | {
        name.replace("resblocks.2", "resblocks.3"): value
        for name, value in state.items()
        if "resblocks.2" in name
    }
    torch.save(deeper, tmp_path / "deeper.ckpt")
    with pytest.raises(BundleError, match=r"text_encoder is not .*left over: .*encoder\.layers\.3"):
        sd2_inpaint.convert(
            tmp_path / "deeper.ckpt", tmp_path / "sd2_inpaint", tokenizer=tokenizer, config=configs
        )


def test_the_command_makes_a_bundle(file, configs, tokenizer, tmp_path, capsys):
    to = tmp_path / "sd2_inpaint"
    command = ["convert", "sd2-inpaint", str(file), "--tokenizer", str(tokenizer), "--to", str(to)]
    assert cli.main([*command, "--config", str(configs), "--dtype", "float16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["bundle"] == "sd2_inpaint"
    assert Bundle.open(to).components == ("unet", "vae", "text_encoder")

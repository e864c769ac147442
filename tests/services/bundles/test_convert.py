from __future__ import annotations

import pickle
import sys
import types
from pathlib import Path

import pytest
import torch
from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint, convert_ldm_vae_checkpoint
from safetensors.torch import load_file, save_file
from transformers import CLIPTextModel

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle, BundleError
from services.bundles.convert import instruct_pix2pix, sam2
from services.bundles.published_configs import IP2P, SAM2, sam2_config
from services.bundles.verify import verify
from tests.services.bundles import original


@pytest.fixture(scope="module")
def configs(tmp_path_factory) -> Path:
    return original.narrow_configs(tmp_path_factory.mktemp("original") / "configs")


@pytest.fixture(scope="module")
def tokenizer(configs) -> Path:
    return configs.parent / "tokenizer"


@pytest.fixture(scope="module")
def state(configs) -> dict[str, torch.Tensor]:
    return original.instruct_pix2pix(original.drawn(configs, 1), averaged=original.drawn(configs, 2))


def saved(content: object, file: Path) -> Path:
    torch.save(content, file)
    return file


def assert_holds(bundle: Bundle, component: str, wanted: dict[str, torch.Tensor]) -> None:
    loaded = bundle.network(component).state_dict()
    assert loaded.keys() == wanted.keys()
    assert all(torch.equal(loaded[name], value) for name, value in wanted.items())


def test_every_tensor_of_a_checkpoint_arrives_and_averages_are_preferred(configs, tokenizer, state, tmp_path):
    file = saved({"state_dict": state, "global_step": 22000, "epoch": 1}, tmp_path / "edit.ckpt")
    bundle = instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)
    raw, averaged = original.drawn(configs, 1), original.drawn(configs, 2)
    assert_holds(bundle, "unet", averaged["unet"])
    assert_holds(bundle, "vae", raw["vae"])
    assert_holds(bundle, "text_encoder", raw["text_encoder"])
    assert verify(bundle.folder).sound
    theirs = CLIPTextModel.from_pretrained(bundle.folder / "text_encoder", local_files_only=True)
    assert all(torch.equal(value, raw["text_encoder"][name]) for name, value in theirs.state_dict().items())
    assert bundle.tokenizer()("red").input_ids
    assert bundle.scheduler_config()["_class_name"] == "EulerAncestralDiscreteScheduler"
    assert {path.name for path in tmp_path.iterdir()} == {"edit.ckpt", "ip2p"}


def test_a_bundle_is_laid_out_as_published_ones_are(configs, tokenizer, state, tmp_path):
    """Readers older than ours know the text encoder's tensors by the names they were published with."""
    file = saved({"state_dict": state}, tmp_path / "edit.ckpt")
    bundle = instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)
    files = {path.relative_to(bundle.folder).as_posix() for path in bundle.folder.glob("*/*.safetensors")}
    assert files == {
        "unet/diffusion_pytorch_model.safetensors",
        "vae/diffusion_pytorch_model.safetensors",
        "text_encoder/model.safetensors",
    }
    stored = load_file(bundle.folder / "text_encoder" / "model.safetensors")
    assert "text_model.embeddings.token_embedding.weight" in stored
    assert all(name.startswith("text_model.") for name in stored)


def test_without_averages_the_last_weights_are_taken(configs, tokenizer, tmp_path):
    raw = original.drawn(configs, 1)
    file = tmp_path / "edit.safetensors"
    tensors = original.instruct_pix2pix(raw, averaged=None)
    save_file({name: value.contiguous() for name, value in tensors.items()}, file)
    bundle = instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)
    assert_holds(bundle, "unet", raw["unet"])


def test_diffusers_own_conversion_comes_to_the_same(configs, state, tokenizer, tmp_path):
    file = saved({"state_dict": state}, tmp_path / "edit.ckpt")
    bundle = instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)
    theirs = convert_ldm_unet_checkpoint(dict(state), bundle.config("unet"), extract_ema=True)
    assert_holds(bundle, "unet", theirs)
    theirs = convert_ldm_vae_checkpoint(dict(state), bundle.config("vae"))
    assert_holds(bundle, "vae", theirs)


@pytest.mark.parametrize(
    ("component", "ours", "theirs"),
    # As they are spelled in the published files.
    [
        (
            "unet",
            "down_blocks.0.attentions.0.transformer_blocks.0.attn2.to_k.weight",
            "input_blocks.1.1.transformer_blocks.0.attn2.to_k.weight",
        ),
        ("unet", "down_blocks.1.resnets.0.conv_shortcut.weight", "input_blocks.4.0.skip_connection.weight"),
        ("unet", "down_blocks.2.downsamplers.0.conv.bias", "input_blocks.9.0.op.bias"),
        ("unet", "mid_block.resnets.1.time_emb_proj.weight", "middle_block.2.emb_layers.1.weight"),
        ("unet", "up_blocks.0.upsamplers.0.conv.weight", "output_blocks.2.1.conv.weight"),
        ("unet", "up_blocks.2.upsamplers.0.conv.weight", "output_blocks.8.2.conv.weight"),
        ("unet", "up_blocks.3.attentions.2.proj_out.weight", "output_blocks.11.1.proj_out.weight"),
        (
            "vae",
            "decoder.up_blocks.2.resnets.0.conv_shortcut.weight",
            "decoder.up.1.block.0.nin_shortcut.weight",
        ),
        ("vae", "encoder.mid_block.attentions.0.to_out.0.bias", "encoder.mid.attn_1.proj_out.bias"),
        ("vae", "post_quant_conv.weight", "post_quant_conv.weight"),
    ],
)
def test_names_lead_where_the_published_files_have_them(component, ours, theirs):
    from services.bundles.convert import ldm

    published = Bundle.open(IP2P)
    plan = getattr(ldm, component)(published.config(component))
    assert plan.source(ours) == theirs
    assert ours in build_on_meta(component, published.config(component)).state_dict()


def test_numbers_are_stored_in_the_requested_type(configs, tokenizer, state, tmp_path):
    file = saved({"state_dict": state}, tmp_path / "edit.ckpt")
    bundle = instruct_pix2pix.convert(
        file, tmp_path / "half", tokenizer=tokenizer, config=configs, dtype=torch.float16
    )
    stored = load_file(bundle.folder / "vae" / "diffusion_pytorch_model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}


def test_what_is_missing_or_left_over_is_named_and_nothing_is_written(configs, tokenizer, state, tmp_path):
    def fails(change: dict, without: str, words: str) -> None:
        wrong = {name: value for name, value in {**state, **change}.items() if name != without}
        file = saved({"state_dict": wrong}, tmp_path / "edit.ckpt")
        with pytest.raises(BundleError, match=words):
            instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)
        assert [path.name for path in tmp_path.iterdir()] == ["edit.ckpt"]

    fails({}, "first_stage_model.encoder.conv_in.bias", r"vae .*missing: first_stage_model\.encoder\.conv_in")
    fails({"first_stage_model.more": torch.ones(1)}, "", r"vae .*left over: first_stage_model\.more")
    narrow = {"first_stage_model.encoder.conv_in.bias": torch.ones(2)}
    fails(narrow, "", r"encoder\.conv_in\.bias is \[2\], wanted \[4\]")


def test_a_bundle_is_never_written_over(configs, tokenizer, state, tmp_path):
    file = saved({"state_dict": state}, tmp_path / "edit.ckpt")
    (tmp_path / "ip2p").mkdir()
    with pytest.raises(BundleError, match="exists; remove it, or choose another folder with --to"):
        instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)


def test_a_checkpoint_needs_the_tokenizer_it_lacks(configs, state, tmp_path):
    file = saved({"state_dict": state}, tmp_path / "edit.ckpt")
    with pytest.raises(BundleError, match=r"vocab\.json is missing: --tokenizer names"):
        instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tmp_path, config=configs)


class Trap:
    sprung = False

    def __reduce__(self):
        return (exec, ("from tests.services.bundles.test_convert import Trap; Trap.sprung = True",))


def test_a_checkpoint_that_wants_to_run_code_is_refused(tmp_path):
    file = saved({"model": {"a": torch.ones(1)}, "trap": Trap()}, tmp_path / "sam.pt")
    with pytest.raises(BundleError, match="it holds more than weights, or is damaged"):
        sam2.convert(file, tmp_path / "sam")
    assert not Trap.sprung
    file.write_bytes(pickle.dumps({"model": Trap()}, protocol=2))
    with pytest.raises(BundleError):
        sam2.convert(file, tmp_path / "sam")
    assert not Trap.sprung


def test_the_name_of_a_training_programs_class_is_no_obstacle(
    configs, tokenizer, state, tmp_path, monkeypatch
):
    name = "pytorch_lightning.callbacks.model_checkpoint"
    module = types.ModuleType(name)
    checkpoint = type("ModelCheckpoint", (), {"__module__": name})
    module.ModelCheckpoint = checkpoint
    for part in ("pytorch_lightning", "pytorch_lightning.callbacks"):
        monkeypatch.setitem(sys.modules, part, types.ModuleType(part))
    monkeypatch.setitem(sys.modules, name, module)
    content = {"callbacks": {checkpoint: {"best_model_path": ""}}, "state_dict": state}
    file = saved(content, tmp_path / "edit.ckpt")
    monkeypatch.undo()
    bundle = instruct_pix2pix.convert(file, tmp_path / "ip2p", tokenizer=tokenizer, config=configs)
    assert_holds(bundle, "unet", original.drawn(configs, 2)["unet"])


@pytest.mark.parametrize("content", [b"", b"not a checkpoint", b"PK\x03\x04broken"])
def test_a_file_that_is_no_checkpoint_is_an_error(tmp_path, content):
    file = tmp_path / "sam.pt"
    file.write_bytes(content)
    with pytest.raises(BundleError, match=r"sam\.pt"):
        sam2.convert(file, tmp_path / "sam")
    with pytest.raises(BundleError, match="no checkpoint at"):
        sam2.convert(tmp_path / "none.pt", tmp_path / "sam")


def test_sam_2_arrives_tensor_by_tensor(sam_bundle, tmp_path):
    state = load_file(sam_bundle.folder / "model.safetensors")
    file = saved({"model": state}, tmp_path / "sam.pt")
    bundle = sam2.convert(file, tmp_path / "sam", config=sam_bundle.folder / "config.yaml")
    assert_holds(bundle, "sam", state)
    with pytest.raises(BundleError, match=r"the weights of none of .*--config"):
        sam2.convert(file, tmp_path / "other")


@pytest.mark.parametrize("name", SAM2)
def test_a_published_sam_2_is_recognised_by_its_tensors(name):
    state = build_on_meta("sam", sam2_config(name)).state_dict()
    assert sam2._matching_config(state) == sam2_config(name)

from __future__ import annotations

import json
import socket

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import nn

from services.bundles.bundle import Bundle, BundleError, open_bundles
from tests.services.bundles.altered import copied, weights_of, with_config, with_tensors

COMPONENTS = ("unet", "vae", "text_encoder")


@pytest.mark.parametrize("component", COMPONENTS)
def test_every_tensor_arrives_as_it_is_stored(ip2p, component):
    stored = load_file(weights_of(ip2p, component))
    loaded = ip2p.network(component).state_dict()
    assert stored.keys() == loaded.keys()
    assert all(torch.equal(stored[name], loaded[name]) for name in stored)


def test_a_network_is_ready_to_be_used(ip2p, sam_bundle):
    for network in (*(ip2p.network(component) for component in COMPONENTS), sam_bundle.network("sam")):
        assert isinstance(network, nn.Module) and not network.training
        assert not any(parameter.requires_grad for parameter in network.parameters())
        held = [*network.parameters(), *network.buffers()]
        assert {tensor.device.type for tensor in held} == {"cpu"}
        assert {tensor.dtype for tensor in held if tensor.is_floating_point()} == {torch.float32}


@pytest.mark.parametrize("kept", [torch.float16, torch.bfloat16, torch.float64])
def test_numbers_stored_in_another_type_are_converted(ip2p, tmp_path, kept):
    bundle = copied(ip2p, tmp_path)
    with_tensors(bundle, "vae", lambda tensors: {name: value.to(kept) for name, value in tensors.items()})
    stored = load_file(weights_of(bundle, "vae"))
    for dtype in (torch.float32, torch.float16):
        network = bundle.network("vae", dtype=dtype)
        assert network.dtype == dtype
        assert all(torch.equal(stored[name].to(dtype), value) for name, value in network.state_dict().items())


def test_every_tensor_that_does_not_fit_is_named_at_once(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)

    def spoil(tensors):
        del tensors["conv_in.bias"]
        tensors["extra.weight"] = torch.zeros(2)
        tensors["conv_out.bias"] = torch.zeros(5)
        tensors["conv_norm_out.bias"] = tensors["conv_norm_out.bias"].to(torch.int64)
        return tensors

    with_tensors(bundle, "unet", spoil)
    with pytest.raises(BundleError) as raised:
        bundle.network("unet")
    for line in (
        "missing: conv_in.bias",
        "unexpected: extra.weight",
        "wrongly shaped: conv_out.bias: stored [5], wanted [4]",
        "wrongly shaped: conv_norm_out.bias: stored as I64, wanted floating numbers",
        "1 missing, 1 unexpected, 2 wrongly shaped",
    ):
        assert line in str(raised.value)


def test_shards_make_the_same_network(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    whole = weights_of(bundle, "unet")
    tensors = load_file(whole)
    names = sorted(tensors)
    whole.unlink()
    weight_map = {}
    for number, part in enumerate((names[::2], names[1::2]), start=1):
        shard = f"diffusion_pytorch_model-{number:05}-of-00002.safetensors"
        save_file({name: tensors[name] for name in part}, whole.with_name(shard))
        weight_map.update(dict.fromkeys(part, shard))
    index = whole.with_name(f"{whole.name}.index.json")
    index.write_text(json.dumps({"weight_map": weight_map}))
    loaded = bundle.network("unet").state_dict()
    assert all(torch.equal(loaded[name], tensors[name]) for name in names)

    whole.with_name("diffusion_pytorch_model-00002-of-00002.safetensors").unlink()
    with pytest.raises(BundleError, match=r"00002-of-00002\.safetensors is missing although"):
        bundle.network("unet")
    index.write_text(json.dumps({"weight_map": {"a": "../../elsewhere.safetensors"}}))
    with pytest.raises(BundleError, match=r"a shard is a \.safetensors file beside its index"):
        bundle.network("unet")
    index.write_text("[]")
    with pytest.raises(BundleError, match="is not an index of shards"):
        bundle.network("unet")


def test_names_that_published_files_used_before_are_understood(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    older = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}

    def age(tensors):
        for new, old in older.items():
            tensors = {name.replace(f".{new}.", f".{old}."): value for name, value in tensors.items()}
        return tensors

    def age_text(tensors):
        aged = {f"text_model.{name.removeprefix('text_model.')}": value for name, value in tensors.items()}
        return {**aged, "text_model.embeddings.position_ids": torch.arange(20)[None]}

    with_tensors(bundle, "vae", age)
    with_tensors(bundle, "text_encoder", age_text)
    assert any(".query." in name for name in load_file(weights_of(bundle, "vae")))
    for component in ("vae", "text_encoder"):
        wanted = ip2p.network(component).state_dict()
        loaded = bundle.network(component).state_dict()
        assert all(torch.equal(loaded[name], wanted[name]) for name in wanted)


def test_a_damaged_file_is_an_error_that_names_it(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    file = weights_of(bundle, "vae")
    file.write_bytes(file.read_bytes()[:1000])
    with pytest.raises(BundleError, match=rf"{file.name} cannot be read: .*copy or convert it again"):
        bundle.network("vae")


def test_pickled_weights_are_not_read(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    weights_of(bundle, "vae").unlink()
    torch.save({}, bundle.folder / "vae" / "diffusion_pytorch_model.bin")
    with pytest.raises(
        BundleError, match=r"no safetensors weights .*\.bin, \.ckpt and \.pt files are not read"
    ):
        bundle.network("vae")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"_class_name": "StableCascadeUNet"}, "no network class 'StableCascadeUNet' is known here"),
        ({"block_out_channels": [1, 2]}, "no network can be built from this config"),
    ],
)
def test_a_config_of_something_else_is_an_error(ip2p, tmp_path, values, words):
    bundle = copied(ip2p, tmp_path)
    with_config(bundle, "unet", **values)
    with pytest.raises(BundleError, match=words):
        bundle.network("unet")


@pytest.mark.parametrize(
    "target", ["os.system", "sam2.build_sam.build_sam2_hf", "sam2.nowhere.Net", "torch.nn.Linear", "sam2"]
)
def test_a_sam_config_can_call_nothing_but_networks_of_sam2(sam_bundle, tmp_path, target):
    bundle = copied(sam_bundle, tmp_path)
    (bundle.folder / "config.yaml").write_text(f"model:\n  _target_: {target}\n")
    with pytest.raises(BundleError, match=f"_target_ '{target}'"):
        bundle.network("sam")


def test_numbers_in_a_sam_config_are_numbers(sam_bundle, tmp_path):
    bundle = copied(sam_bundle, tmp_path)
    config = bundle.folder / "config.yaml"
    config.write_text(
        config.read_text().replace("layer_scale_init_value: 0.01", "layer_scale_init_value: 1e-6")
    )
    fuser = bundle.config("sam")["model"]["memory_encoder"]["fuser"]
    assert fuser["layer"]["layer_scale_init_value"] == 1e-6


def test_the_error_for_missing_files_says_how_to_get_them(ip2p, tmp_path):
    remedy = r"python -m training\.tiny FOLDER.*intarsia weights fetch"
    (tmp_path / "bare").mkdir()
    with pytest.raises(BundleError, match=f"there is no such folder; .*{remedy}"):
        Bundle.open(tmp_path / "none")
    with pytest.raises(BundleError, match=f"is not a bundle: .*{remedy}"):
        Bundle.open(tmp_path / "bare")
    with pytest.raises(BundleError, match=f"ip2p has no sam: .*config\\.yaml is missing; .*{remedy}"):
        ip2p.network("sam")
    with pytest.raises(BundleError, match=f"there is no such folder; .*{remedy}"):
        open_bundles(tmp_path / "none")
    with pytest.raises(BundleError, match=f"no bundle in .*{remedy}"):
        open_bundles(tmp_path)


def test_a_folder_lists_its_bundles_by_name(weights, ip2p, tmp_path):
    (copied(ip2p, tmp_path).folder).rename(tmp_path / ".ip2p.part")
    with pytest.raises(BundleError, match="no bundle in"):
        open_bundles(tmp_path)
    assert {name: bundle.components for name, bundle in open_bundles(weights).items()} == {
        "ip2p": COMPONENTS,
        "sam": ("text_head", "sam"),
        "sd2_inpaint": COMPONENTS,
    }


def test_a_digest_changes_with_weights_and_config_and_with_nothing_else(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    assert bundle.digest == ip2p.digest
    (bundle.folder / "intarsia.json").unlink()
    assert bundle.digest == ip2p.digest and bundle.defaults == {}
    with_tensors(bundle, "vae", lambda tensors: {name: value + 1 for name, value in tensors.items()})
    assert bundle.digest_of("vae") != ip2p.digest_of("vae")
    assert bundle.digest_of("unet") == ip2p.digest_of("unet")
    with_config(bundle, "unet", sample_size=32)
    assert bundle.digest_of("unet") != ip2p.digest_of("unet")
    assert bundle.digest != ip2p.digest


def test_a_digest_covers_the_text_head_and_its_preprocessor(sam_bundle, tmp_path):
    bundle = copied(sam_bundle, tmp_path)
    assert bundle.digest == sam_bundle.digest
    looks = bundle.folder / "text_head" / "preprocessor_config.json"
    looks.write_text(looks.read_text().replace("0.5", "0.4"))
    seen_otherwise = bundle.digest
    with_tensors(bundle, "text_head", lambda tensors: {name: value + 1 for name, value in tensors.items()})
    assert len({sam_bundle.digest, seen_otherwise, bundle.digest}) == 3
    assert bundle.digest_of("sam") == sam_bundle.digest_of("sam")


def test_a_text_head_has_its_own_tokenizer_and_preprocessor(sam_bundle, tmp_path):
    bundle = copied(sam_bundle, tmp_path)
    assert bundle.tokenizer("text_head")("red dress").input_ids
    assert bundle.preprocessor()["size"] == {"height": 64, "width": 64}
    (bundle.folder / "text_head" / "preprocessor_config.json").unlink()
    with pytest.raises(BundleError, match=r"preprocessor_config\.json is missing"):
        bundle.preprocessor()


def test_tokenizer_scheduler_and_defaults_come_from_the_bundle(ip2p):
    tokenizer = ip2p.tokenizer()
    tokens = tokenizer("make it blue").input_ids
    assert tokenizer.decode(tokens[1:-1]) == "make it blue" and len(tokens) == 5
    assert ip2p.scheduler_config()["_class_name"] == "DDIMScheduler"
    assert ip2p.defaults == {"steps": 10, "guidance": 2.5, "picture_guidance": 1.2}


def test_a_bundle_lists_working_sizes_with_their_figures(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    assert bundle.sizes == {}
    notes = bundle.folder / "intarsia.json"
    notes.write_text('{"sizes": {"128": {"recolour": 0.98}, "512": {}}}')
    assert Bundle.open(bundle.folder).sizes == {128: {"recolour": 0.98}, 512: {}}
    for wrong in ("63", "-128", "large"):
        notes.write_text(json.dumps({"sizes": {wrong: {}}}))
        with pytest.raises(BundleError, match=f"sizes include '{wrong}'"):
            _ = Bundle.open(bundle.folder).sizes


def test_loading_opens_no_connection(weights, monkeypatch):
    def refuse(*_, **__):
        raise AssertionError("something outside was asked for")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)
    for bundle in open_bundles(weights).values():
        for component in bundle.components:
            assert bundle.network(component) is not None
    assert Bundle.open(weights / "ip2p").tokenizer()("red").input_ids


def test_the_same_seed_writes_the_same_bundles(weights, tmp_path):
    from training import tiny

    tiny.write(tmp_path / "again")
    tiny.write(tmp_path / "other", seed=1)
    digests = [
        {name: bundle.digest for name, bundle in open_bundles(folder).items()}
        for folder in (weights, tmp_path / "again", tmp_path / "other")
    ]
    assert digests[0] == digests[1]
    assert all(digests[0][name] != digests[2][name] for name in digests[0])

"""SAM 3 as it is published becomes a text head: the part that finds things, and nothing else."""

from __future__ import annotations

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file, save_file
from transformers import Sam3Model

from services.bundles.bundle import BundleError
from services.bundles.cli import main
from services.bundles.convert import sam3
from tests.services.sam.sam3 import as_original, write_published


@pytest.fixture
def published(tmp_path):
    """A publication's folder, and the network in it that finds things."""
    folder = tmp_path / "published"
    return folder, write_published(folder)


def test_every_tensor_that_finds_things_arrives(published, tmp_path):
    folder, network = published
    bundle = sam3.convert(folder, tmp_path / "sam" / "text_head")
    loaded, wanted = bundle.network("text_head").state_dict(), network.state_dict()
    assert bundle.components == ("text_head",) and loaded.keys() == wanted.keys()
    assert all(torch.equal(loaded[name], value) for name, value in wanted.items())
    assert bundle.tokenizer("text_head")("red").input_ids
    assert bundle.preprocessor()["size"] == {"height": 112, "width": 112}
    assert [path.name for path in bundle.folder.iterdir()] == ["text_head"]


def test_transformers_itself_reads_both_alike(published, tmp_path):
    folder, network = published
    sam3.convert(folder, tmp_path / "sam" / "text_head")
    for place in (folder, tmp_path / "sam" / "text_head"):
        theirs, report = Sam3Model.from_pretrained(place, local_files_only=True, output_loading_info=True)
        assert not report["missing_keys"] and not report["mismatched_keys"]
        assert all(
            torch.equal(value, network.state_dict()[name]) for name, value in theirs.state_dict().items()
        )


def test_a_lone_file_takes_config_and_tokenizer_from_elsewhere(published, tmp_path):
    folder, network = published
    file = shutil.move(folder / "model.safetensors", tmp_path / "sam3.safetensors")
    bundle = sam3.convert(
        file,
        tmp_path / "text_head",
        tokenizer=folder,
        config=folder / "config.json",
        dtype=torch.float16,
    )
    stored = load_file(bundle.folder / "text_head" / "model.safetensors")
    assert {value.dtype for value in stored.values()} == {torch.float16}
    assert bundle.preprocessor() == {
        "size": {"height": 112, "width": 112},
        "image_mean": [0.5, 0.5, 0.5],
        "image_std": [0.5, 0.5, 0.5],
    }
    half = network.text_projection.weight.half()
    assert torch.equal(stored["text_projection.weight"], half)


def test_newer_publications_say_how_they_see_in_another_file(published, tmp_path):
    folder, _ = published
    looks = {"size": {"height": 112, "width": 112}, "image_mean": [0.4] * 3, "image_std": [0.6] * 3}
    (folder / "preprocessor_config.json").unlink()
    (folder / "processor_config.json").write_text(json.dumps({"image_processor": looks, "target_size": 112}))
    assert sam3.convert(folder, tmp_path / "text_head").preprocessor() == looks


def test_weights_that_do_not_fit_are_named_and_nothing_is_written(published, tmp_path):
    folder, _ = published
    state = load_file(folder / "model.safetensors")
    del state["detector_model.text_projection.bias"]
    save_file({**state, "detector.extra": torch.ones(1)}, folder / "model.safetensors")
    with pytest.raises(BundleError, match=r"missing: text_projection\.bias") as raised:
        sam3.convert(folder, tmp_path / "sam" / "text_head")
    assert "unexpected: detector.extra" in str(raised.value)
    assert not (tmp_path / "sam").exists()


def test_a_config_of_another_size_is_not_forced_on_weights(published, tmp_path):
    folder, _ = published
    (folder / "config.json").unlink()
    with pytest.raises(BundleError, match="does not hold SAM 3 as transformers publishes it"):
        sam3.convert(folder, tmp_path / "text_head")
    with pytest.raises(BundleError, match="no config at"):
        sam3.convert(folder, tmp_path / "text_head", config=folder / "config.json")


@pytest.mark.parametrize(
    ("source", "to", "words"),
    [
        ("published", "sam/words", "--to must be the folder text_head of the bundle sam"),
        ("published/merges.txt", "text_head", r"no folder and no \.safetensors or \.pt file"),
        ("none.safetensors", "text_head", "no checkpoint at"),
        ("none.pt", "text_head", "no checkpoint at"),
        ("empty", "text_head", "no safetensors weights in"),
        ("published", "published", "--to must be the folder text_head"),
    ],
)
def test_what_cannot_be_converted_is_an_error_with_a_remedy(published, tmp_path, source, to, words):
    (tmp_path / "empty").mkdir()
    with pytest.raises(BundleError, match=words):
        sam3.convert(tmp_path / source, tmp_path / to)


@pytest.fixture
def original(published):
    """The file of the authors beside config and vocabulary, and its tensors."""
    folder, network = published
    (folder / "model.safetensors").unlink()
    state = as_original(network.state_dict())
    torch.save({"model": state}, folder / "sam3.pt")
    return folder / "sam3.pt", state, network


def test_the_file_of_the_authors_becomes_the_same_text_head(original, tmp_path):
    file, state, network = original
    assert not any("q_proj" in name or "vision_encoder" in name for name in state), "under other names"
    bundle = sam3.convert(file, tmp_path / "sam" / "text_head")
    loaded, wanted = bundle.network("text_head").state_dict(), network.state_dict()
    assert loaded.keys() == wanted.keys()
    assert all(torch.equal(loaded[name], value) for name, value in wanted.items())


@pytest.mark.parametrize(
    ("name", "words"),
    [
        (
            "detector.geometry_encoder.encode.1.linear1.bias",
            r"missing: geometry_encoder\.encode\.1\.linear1\.bias",
        ),
        ("detector.transformer.decoder.more", r"left over: transformer\.decoder\.more"),
        (
            "detector.dot_prod_scoring.hs_proj.bias",
            r"of another shape: dot_product_scoring\.query_proj\.bias",
        ),
    ],
)
def test_what_does_not_fit_in_the_file_of_the_authors_is_named(original, tmp_path, name, words):
    file, state, _ = original
    if "linear1" in name:
        del state[name]
    else:
        state[name] = torch.ones(3)
    torch.save({"model": state}, file)
    with pytest.raises(BundleError, match=words):
        sam3.convert(file, tmp_path / "sam" / "text_head")
    assert not (tmp_path / "sam").exists()


def test_the_command_line_puts_a_text_head_into_a_bundle(published, sam_bundle, tmp_path, capsys):
    folder, _ = published
    bundle = shutil.copytree(sam_bundle.folder, tmp_path / "sam")
    arguments = ["convert", "sam3", str(folder), "--to", str(bundle / "text_head"), "--json"]
    assert main(arguments) == 1, "there is a text head already"
    assert "exists; remove it" in json.loads(capsys.readouterr().out)["error"]
    shutil.rmtree(bundle / "text_head")
    assert main(arguments) == 0
    components = json.loads(capsys.readouterr().out)["components"]
    assert {name: part["network"] for name, part in components.items()} == {
        "text_head": "Sam3Model",
        "sam": "SAM2Base",
    }
    assert main(["verify", str(bundle)]) == 0
    assert (
        main(["convert", "sam3", str(folder), "--to", str(tmp_path / "text_head"), "--tokenizer", "x"]) == 1
    )
    assert "vocab.json is missing" in capsys.readouterr().err

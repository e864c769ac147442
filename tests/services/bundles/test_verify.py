from __future__ import annotations

import json

import pytest
import torch

from services.bundles.cli import main
from services.bundles.verify import verify
from tests.services.bundles.altered import copied, with_config, with_tensors


def test_a_whole_bundle_is_sound(ip2p, sam_bundle):
    for bundle in (ip2p, sam_bundle):
        report = verify(bundle.folder)
        assert report.sound, str(report)
        assert {item.component for item in report.inventories} == set(bundle.components)


def test_every_fault_is_named(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    with_tensors(
        bundle,
        "vae",
        lambda tensors: {
            name: value
            for name, value in {**tensors, "extra": torch.ones(1)}.items()
            if name != "quant_conv.bias"
        },
    )
    with_config(bundle, "unet", out_channels=3)
    (bundle.folder / "scheduler" / "scheduler_config.json").unlink()
    (bundle.folder / "tokenizer" / "vocab.json").unlink()
    report = verify(bundle.folder)
    assert not report.sound
    by_name = {item.component: item for item in report.inventories}
    assert by_name["vae"].missing == ("quant_conv.bias",)
    assert by_name["vae"].unexpected == ("extra",)
    assert by_name["unet"].misshapen == (
        "conv_out.bias: stored [4], wanted [3]",
        "conv_out.weight: stored [4, 32, 3, 3], wanted [3, 32, 3, 3]",
    )
    assert by_name["text_encoder"].sound
    assert any("has no scheduler" in problem for problem in report.problems)
    assert any("tokenizer" in problem for problem in report.problems)


def test_a_text_head_is_looked_at_as_a_whole(sam_bundle, tmp_path):
    bundle = copied(sam_bundle, tmp_path)
    head = bundle.folder / "text_head"
    with_tensors(bundle, "text_head", lambda tensors: {**tensors, "extra": torch.ones(1)})
    (head / "preprocessor_config.json").unlink()
    report = verify(bundle.folder)
    assert not report.sound
    assert {item.component: item.unexpected for item in report.inventories} == {
        "text_head": ("extra",),
        "sam": (),
    }
    assert len(report.problems) == 1 and "preprocessor_config.json is missing" in report.problems[0]
    (head / "vocab.json").unlink()
    assert any("no tokenizer can be read" in problem for problem in verify(bundle.folder).problems)


def test_a_tokenizer_with_more_words_than_its_network_is_a_fault(sam_bundle, ip2p, tmp_path):
    for bundle, name in ((sam_bundle, "text_head"), (ip2p, "text_encoder")):
        other = copied(bundle, tmp_path)
        config = other.config(name)
        smaller = (
            {"vocab_size": 50}
            if name == "text_encoder"
            else {"text_config": {**config["text_config"], "vocab_size": 50}}
        )
        with_config(other, name, **smaller)
        assert any(f"but the {name} only 50" in problem for problem in verify(other.folder).problems)


def test_a_component_that_cannot_be_looked_at_does_not_hide_the_others(ip2p, tmp_path):
    bundle = copied(ip2p, tmp_path)
    (bundle.folder / "vae" / "diffusion_pytorch_model.safetensors").write_bytes(b"broken")
    report = verify(bundle.folder)
    assert {item.component for item in report.inventories} == {"unet", "text_encoder"}
    assert len(report.problems) == 1 and "cannot be read" in report.problems[0]


def test_nothing_is_read_but_headers(ip2p, monkeypatch):
    """With the one function that reads numbers out of order, verification still works."""
    monkeypatch.setattr("services.bundles.bundle.read", None)
    assert verify(ip2p.folder).sound
    with pytest.raises(TypeError):
        ip2p.network("vae")


def test_the_command_line_lists_and_verifies_with_an_exit_code(weights, ip2p, tmp_path, capsys):
    assert main(["list", str(weights), "--json"]) == 0
    rows = {row["bundle"]: row for row in json.loads(capsys.readouterr().out)}
    assert rows["ip2p"]["digest"] == ip2p.digest
    assert rows["ip2p"]["components"]["vae"] == {"network": "AutoencoderKL", "parameters": 81215}

    assert main(["verify", str(weights / "ip2p"), str(weights / "sam")]) == 0
    assert "ip2p: sound" in capsys.readouterr().out
    bundle = copied(ip2p, tmp_path)
    with_config(bundle, "vae", latent_channels=8)
    assert main(["verify", str(bundle.folder), "--json"]) == 1
    assert json.loads(capsys.readouterr().out)[0]["components"]["vae"]["misshapen"]

    assert main(["verify", str(tmp_path / "none")]) == 1
    assert "there is no such folder" in capsys.readouterr().err


def test_the_card_of_a_bundle_is_shown(ip2p, tmp_path, capsys, monkeypatch):
    bundle = copied(ip2p, tmp_path)
    figure = {"metric": "VAE PSNR", "value": 30.5, "unit": "dB", "verdict": "under"}
    card = {"recipe": ["python -m training.recipes.ip2p"], "figures": [figure]}
    (bundle.folder / "card.json").write_text(json.dumps(card))
    sizes = {"128": {"right hue": 0.98}, "512": {}}
    (bundle.folder / "intarsia.json").write_text(json.dumps({"sizes": sizes}))
    monkeypatch.setenv("INTARSIA_WEIGHTS", str(tmp_path))
    assert main(["list"]) == 0
    shown = capsys.readouterr().out
    assert "works at     128 px: right hue: 0.98" in shown
    assert "works at     512 px, for which it was made" in shown
    assert "made by      python -m training.recipes.ip2p" in shown
    assert "held out     VAE PSNR: 30.5 dB (under)" in shown
    monkeypatch.delenv("INTARSIA_WEIGHTS")
    assert main(["list"]) == 0
    assert "ip2p" in capsys.readouterr().out, "without a word the starter weights are listed"
    assert main(["list", str(tmp_path / "nowhere")]) == 1


def test_the_command_line_converts(sam_bundle, tmp_path, capsys):
    from safetensors.torch import load_file

    torch.save({"model": load_file(sam_bundle.folder / "model.safetensors")}, tmp_path / "sam.pt")
    config = str(sam_bundle.folder / "config.yaml")
    arguments = [
        "convert",
        "sam2",
        str(tmp_path / "sam.pt"),
        "--to",
        str(tmp_path / "sam"),
        "--config",
        config,
    ]
    assert main([*arguments, "--dtype", "float16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["components"]["sam"]["network"] == "SAM2Base"
    assert main(arguments) == 1
    assert "exists; remove it" in capsys.readouterr().err

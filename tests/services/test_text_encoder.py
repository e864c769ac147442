from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from diffusers import StableDiffusionInstructPix2PixPipeline

from services import json_text
from services.bundles.bundle import Bundle, BundleError
from services.refusal import Refusal
from services.text_encoder.prompt_encoder import PromptEncoder
from services.text_encoder.service import LONGEST, TextEncoder
from tests.services.calls import refusal, tensors

CPU = torch.device("cpu")
STARTER = Path(__file__).parents[2] / "weights/starter/ip2p"
LONG = "make the big red circle blue and turn the small star into a green heart, change the sky and the car"


@pytest.fixture(scope="module")
def service(ip2p: Bundle) -> TextEncoder:
    return TextEncoder([ip2p], CPU, torch.float32)


@pytest.fixture(scope="module")
def pipeline(ip2p: Bundle) -> StableDiffusionInstructPix2PixPipeline:
    return StableDiffusionInstructPix2PixPipeline.from_pretrained(ip2p.folder, local_files_only=True)


@pytest.mark.parametrize("text", ["", "make it blue", "  Zürich, at NIGHT!  ", LONG])
def test_an_embedding_is_the_one_that_diffusers_makes(service, pipeline, text):
    wanted = pipeline._encode_prompt(text, CPU, 1, do_classifier_free_guidance=False)[0]
    assert torch.equal(service.answer(tensors(family="ip2p", text=text))["embedding"], wanted)


def test_tensors_that_do_not_fit_are_named_by_their_own_keys(service):
    dropped = json_text.from_tensor("dropped", service.answer(tensors(family="ip2p", text=LONG))["dropped"])
    assert dropped and LONG.endswith(dropped)
    fits = service.answer(tensors(family="ip2p", text="make it blue"))
    assert json_text.from_tensor("dropped", fits["dropped"]) == ""


def test_only_the_words_that_fit_matter(service):
    """20 tokens, two of which are the ends."""
    long = service.answer(tensors(family="ip2p", text="red " * 24 + "Blue"))
    assert json_text.from_tensor("dropped", long["dropped"]) == "red " * 6 + "Blue"
    assert torch.equal(
        long["embedding"], service.answer(tensors(family="ip2p", text="red " * 18))["embedding"]
    )


def test_each_family_encodes_by_its_own_weights(weights, ip2p, service):
    both = TextEncoder([ip2p, Bundle.open(weights / "sd2_inpaint")], CPU, torch.float32)
    edit, fill = (
        both.answer(tensors(family=family, text="make it blue"))["embedding"]
        for family in ("ip2p", "sd2_inpaint")
    )
    assert edit.shape == fill.shape and not torch.equal(edit, fill)
    assert torch.equal(edit, service.answer(tensors(family="ip2p", text="make it blue"))["embedding"])


def test_equal_weights_of_two_families_are_held_once(ip2p, tmp_path):
    twin = Bundle.open(shutil.copytree(ip2p.folder, tmp_path / "twin"))
    service = TextEncoder([ip2p, twin], CPU, torch.float32)
    assert set(service.facts()["families"]) == {"ip2p", "twin"}
    first, second = (encoder._network for encoder in service._encoders.values())
    assert first is second


def test_a_tokenizer_of_other_weights_is_found_out_at_the_start(ip2p, tmp_path):
    bundle = Bundle.open(shutil.copytree(ip2p.folder, tmp_path / "longer"))
    config = bundle.folder / "tokenizer" / "tokenizer_config.json"
    config.write_text(config.read_text().replace(": 20", ": 77"))
    with pytest.raises(BundleError, match="77 tokens but the text encoder has only 20 positions"):
        TextEncoder([bundle], CPU, torch.float32)


def test_a_server_without_any_text_encoder_does_not_start(sam_bundle):
    with pytest.raises(BundleError, match=r"no bundle has a text_encoder; .*training\.tiny"):
        TextEncoder([sam_bundle], CPU, torch.float32)


@pytest.mark.parametrize(
    ("inputs", "reason", "words"),
    [
        ({"text": "x"}, "INVALID_FIELD", "family is missing"),
        ({"family": "ip2p"}, "INVALID_FIELD", "text is missing"),
        ({"family": "other", "text": "x"}, "NOT_FOUND", "'other' is not loaded here; loaded: ip2p"),
        ({"family": "ip2p", "text": "x" * (LONGEST + 1)}, "INVALID_FIELD", f"at most {LONGEST}"),
        ({"family": "ip2p", "text": torch.zeros(3)}, "INVALID_FIELD", "text must be UINT8"),
        (
            {"family": "ip2p", "text": torch.tensor([255], dtype=torch.uint8)},
            "INVALID_FIELD",
            "JSON in UTF-8",
        ),
        ({"family": "ip2p", "text": torch.tensor([], dtype=torch.uint8)}, "INVALID_FIELD", "JSON in UTF-8"),
        (
            {"family": "ip2p", "text": torch.tensor([91] * 100_000, dtype=torch.uint8)},
            "INVALID_FIELD",
            "JSON",
        ),
        (
            {"family": "ip2p", "text": torch.tensor(list(rb'"\ud800"'), dtype=torch.uint8)},
            "INVALID_FIELD",
            "surrogate",
        ),
        (
            {"family": "ip2p", "text": torch.full((1 << 20,), 91, dtype=torch.uint8)},
            "INVALID_FIELD",
            "131072",
        ),
        ({"family": "x" * 10_000, "text": "x"}, "NOT_FOUND", f"family {'x' * 64!r} is not"),
        ({"family": "ip2p", "text": torch.tensor([51], dtype=torch.uint8)}, "INVALID_FIELD", "a JSON string"),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(service, inputs, reason, words):
    refused = refusal(service, **inputs)
    assert refused.reason == reason
    assert words in refused.message


def test_the_digest_is_that_of_the_family(service, ip2p):
    assert service.digest(tensors(family="ip2p")) == ip2p.digest_of("text_encoder")
    with pytest.raises(Refusal, match="'other' is not loaded"):
        service.digest(tensors(family="other"))


def test_the_facts_say_which_weights_and_what_they_make(service, ip2p):
    assert service.facts()["families"]["ip2p"] == {
        "weights": ip2p.digest_of("text_encoder"),
        "tokens": 20,
        "width": 32,
    }


def test_words_that_the_encoder_never_learnt_are_named_where_the_tokenizer_can_tell(ip2p):
    learnt = Bundle.open(STARTER)
    encoder = PromptEncoder(learnt.tokenizer(), learnt.network("text_encoder"))
    told = encoder.encode("Make the flubber zorg, the flubber, a blue heart!")
    assert told.unknown == ("flubber", "zorg")
    assert encoder.encode("turn it into a red circle").unknown == ()
    others = PromptEncoder(ip2p.tokenizer(), ip2p.network("text_encoder"))
    assert others.encode("flubber").unknown == ()

"""`sam`, `text_encoder` and `vae` behind a real Triton, called by a plain client."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerException

from services.bundles.bundle import Bundle
from tests.e2e.triton import TritonClient, text

FAMILY = text("ip2p")
OTHER = {"weights": text("0" * 64)}


def noise(*shape: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).uniform(-1, 1, shape).astype(np.float32)


def photo(height: int, width: int, seed: int = 0) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def refused(models: TritonClient, model: str, **tensors: np.ndarray) -> str:
    with pytest.raises(InferenceServerException) as raised:
        models.ask(model, tensors)
    return f"{raised.value.status()} {raised.value.message()}"


def test_embeddings_equal_those_of_the_same_weights_in_process(models: TritonClient, weights):
    import torch

    from services.text_encoder.service import TextEncoder
    from tests.services.calls import tensors

    there = models.ask("text_encoder", {"family": FAMILY, "text": text("make it blue")})
    here = TextEncoder([Bundle.open(weights / "ip2p")], torch.device("cpu"), torch.float32)
    wanted = here.answer(tensors(family="ip2p", text="make it blue"))["embedding"].numpy()
    np.testing.assert_allclose(there.as_numpy("embedding"), wanted, rtol=0, atol=1e-5)


def test_pictures_of_many_sizes_at_once_give_the_results_of_each_alone(stack, weights):
    """Different shapes, encoding beside decoding, and refusals in between."""
    import torch

    from services.refusal import Refusal
    from services.vae.service import Vae
    from tests.services.calls import tensors

    here = Vae([Bundle.open(weights / "ip2p")], torch.device("cpu"), torch.float32)
    asked = [
        {"picture": noise(3, 64, 64, seed=20)},
        {"latents": noise(4, 8, 8, seed=21)},
        {"picture": noise(3, 64, 60)},
        {"picture": noise(3, 128, 72, seed=22)},
        {"latents": noise(4, 3, 5, seed=23)},
        {"latents": np.full((4, 2, 2), np.nan, np.float32)},
    ] * 2

    def there(one: dict[str, np.ndarray]) -> np.ndarray | str:
        with TritonClient(stack.triton.url) as other:
            try:
                reply = other.ask("vae", {"family": FAMILY, **one})
            except InferenceServerException as error:
                return error.message()
            return reply.as_numpy("encoded" if "picture" in one else "decoded")

    def alone(one: dict[str, np.ndarray]) -> np.ndarray | str:
        values = {name: torch.from_numpy(value) for name, value in one.items()}
        try:
            return next(iter(here.answer(tensors(family="ip2p", **values)).values())).numpy()
        except Refusal as refusal:
            return str(refusal)

    with ThreadPoolExecutor(len(asked)) as crowd:
        answers = list(crowd.map(there, asked))
    for answer, wanted in zip(answers, map(alone, asked), strict=True):
        if isinstance(wanted, str):
            assert answer == wanted
        else:
            np.testing.assert_allclose(answer, wanted, rtol=0, atol=1e-5)
    assert [isinstance(answer, str) for answer in answers] == [False, False, True, False, False, True] * 2


def test_the_same_picture_is_encoded_once(models: TritonClient):
    asked = {"family": FAMILY, "picture": noise(3, 16, 16, seed=77)}
    first = models.ask("vae", asked).as_numpy("encoded")
    hits = models.facts("vae")["kept"]["hits"]
    assert np.array_equal(models.ask("vae", asked).as_numpy("encoded"), first)
    assert models.facts("vae")["kept"]["hits"] == hits + 1


def test_decoded_pictures_are_not_cached(models: TritonClient):
    count = models.facts("vae")["kept"]["count"]
    assert models.ask("vae", {"family": FAMILY, "latents": noise(4, 4, 4, seed=78)}).as_numpy("decoded").any()
    assert models.facts("vae")["kept"]["count"] == count


def test_a_repeated_invalid_request_gets_the_same_error(models: TritonClient):
    asked = {"family": FAMILY, "picture": noise(3, 8, 9)}
    first, second = (refused(models, "vae", **asked) for _ in range(2))
    assert first == second and "multiples of 8" in first


def test_a_picture_is_sent_once_and_then_named_by_its_key(models: TritonClient):
    import hashlib

    shown = photo(90, 120)
    key = np.frombuffer(hashlib.sha256(b"90x120:" + shown.tobytes()).digest(), np.uint8)
    click = np.array([[60, 45, 1]], np.float32)
    assert refused(models, "sam", picture_key=key, points=click).startswith(
        "StatusCode.NOT_FOUND UNKNOWN_PICTURE: "
    )
    sent = models.ask("sam", {"picture": shown, "points": click})
    named = models.ask("sam", {"picture_key": key, "points": click})
    assert sent.as_numpy("masks").shape == (3, 90, 120)
    assert np.array_equal(sent.as_numpy("masks"), named.as_numpy("masks"))


def test_a_served_track_equals_one_in_process_until_it_is_forgotten(models: TritonClient, weights):
    import torch

    from services.sam.service import Sam

    here = Sam(Bundle.open(weights / "sam"), torch.device("cpu"))
    name = np.random.default_rng().integers(0, 256, 16, np.uint8)
    mask = np.zeros((90, 120), np.uint8)
    mask[20:60, 30:80] = 1
    for number in range(4):
        asked = {
            "clip": name,
            "frame": np.array([number], np.int32),
            "picture": photo(90, 120, seed=number),
            **({"mask": mask} if number == 0 else {}),
        }
        wanted = here.answer({part: torch.from_numpy(value) for part, value in asked.items()})
        for _ in range(2):
            there = models.ask("sam", asked)
            for part, value in wanted.items():
                np.testing.assert_allclose(there.as_numpy(part), value.numpy(), rtol=0, atol=1e-3)
    followed = models.facts("sam")["clips"]["count"]
    told = models.ask("sam", {"ask": text("forget"), "clip": name}).as_numpy("facts").tobytes()
    assert json.loads(told)["clips"]["count"] == followed - 1
    assert refused(models, "sam", **asked).startswith("StatusCode.NOT_FOUND UNKNOWN_CLIP: ")


def test_served_words_and_corrections_equal_those_in_process(models: TritonClient, weights):
    import torch

    from services.sam.service import Sam
    from tests.services.calls import tensors

    here = Sam(Bundle.open(weights / "sam"), torch.device("cpu"))
    shown, mask = photo(90, 120, seed=4), np.zeros((90, 120), np.uint8)
    mask[20:60, 30:80] = 1
    beside = np.array([[100, 80, 0]], np.float32)
    for asked in (
        {"words": "a red circle"},
        {"words": "a red circle", "threshold": np.zeros(1, np.float32)},
        {"points": beside, "mask": mask},
    ):
        there = models.ask(
            "sam", {"picture": shown, **{k: v if k != "words" else text(v) for k, v in asked.items()}}
        )
        arrays = {k: torch.from_numpy(v) if k != "words" else v for k, v in asked.items()}
        wanted = here.answer(tensors(picture=torch.from_numpy(shown), **arrays))
        assert ("best" in wanted) == ("words" in asked)
        for name, value in wanted.items():
            np.testing.assert_allclose(there.as_numpy(name), value.numpy(), rtol=0, atol=1e-5)


def test_words_without_a_match_get_a_reply_without_a_mask(models: TritonClient):
    sure = {"words": text("a red circle"), "threshold": np.ones(1, np.float32)}
    answer = models.ask("sam", {"picture": photo(30, 40), **sure})
    assert answer.as_numpy("masks").shape == (0, 30, 40) and answer.as_numpy("scores").shape == (0,)
    assert 0 < answer.as_numpy("best").item() < 1


@pytest.mark.parametrize(
    ("model", "tensors", "answer"),
    [
        ("text_encoder", {}, "INVALID_ARGUMENT INVALID_FIELD: family is missing"),
        ("text_encoder", {"family": text("x"), "text": text("")}, "NOT_FOUND NOT_FOUND: family 'x'"),
        ("vae", {"family": FAMILY}, "INVALID_ARGUMENT INVALID_FIELD: picture or pixels or latents"),
        (
            "vae",
            {"family": FAMILY, "picture": noise(3, 8, 9)},
            "INVALID_ARGUMENT INVALID_FIELD: picture must have",
        ),
        ("sam", {"picture": photo(8, 8)}, "INVALID_ARGUMENT INVALID_FIELD: points or a box"),
        ("sam", {"picture": photo(8, 8), "words": text("")}, "INVALID_ARGUMENT INVALID_FIELD: words must"),
        ("text_encoder", {"family": FAMILY, "text": text(""), **OTHER}, "NOT_FOUND OTHER_WEIGHTS: "),
        ("vae", {"family": FAMILY, "latents": noise(4, 2, 2), **OTHER}, "NOT_FOUND OTHER_WEIGHTS: "),
        ("sam", {"picture": photo(8, 8), **OTHER}, "NOT_FOUND OTHER_WEIGHTS: "),
    ],
)
def test_an_error_has_a_status_a_reason_and_a_remedy(models: TritonClient, model, tensors, answer):
    assert refused(models, model, **tensors).startswith(f"StatusCode.{answer}")


def test_the_facts_name_the_weights(models: TritonClient, weights):
    bundle = Bundle.open(weights / "ip2p")
    for model in ("vae", "text_encoder"):
        assert models.facts(model)["families"]["ip2p"]["weights"] == bundle.digest_of(model)
    facts = json.loads(models.ask("sam", {"ask": text("facts")}).as_numpy("facts").tobytes())
    assert facts["weights"] == Bundle.open(weights / "sam").digest

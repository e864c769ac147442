"""Words: every thing they name, by CLIPSeg and SAM 2 together or by SAM 3 alone."""

from __future__ import annotations

import ast
import inspect
import shutil
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest
import torch
import transformers
from transformers import CLIPSegForImageSegmentation

from services.bundles.bundle import Bundle, BundleError
from services.sam import clipseg, text_head
from services.sam.components import components_of
from services.sam.picture_ref import PictureRef
from services.sam.preprocessing import Preprocessing, preprocess
from services.sam.sam2 import Sam2
from services.sam.service import Sam
from tests.services.bundles.altered import copied
from tests.services.calls import refusal, tensors
from tests.services.sam import sam3
from tests.services.sam.pictures import key, picture
from training.recipes.options import STARTER
from training.recipes.text_samples import phrase_batch

CPU = torch.device("cpu")
CLICK = torch.tensor([[60.0, 40.0, 1.0]])


def number(value: float) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.float32)


@pytest.fixture(scope="module")
def service(sam_bundle: Bundle) -> Sam:
    return Sam(sam_bundle, CPU)


@pytest.fixture(scope="module")
def with_sam3(sam_bundle: Bundle, tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """SAM 2 for clicks, a small random SAM 3 for words."""
    bundle = copied(sam_bundle, tmp_path_factory.mktemp("sam3"))
    shutil.rmtree(bundle.folder / "text_head")
    sam3.write_head(bundle.folder / "text_head")
    return Bundle.open(bundle.folder)


@pytest.fixture(params=["clipseg", "sam3"])
def either(request: pytest.FixtureRequest, sam_bundle: Bundle, with_sam3: Bundle) -> Sam:
    return Sam(sam_bundle if request.param == "clipseg" else with_sam3, CPU)


def published(name: str) -> Any:
    """A function of transformers' SAM 3 image processor, whose module needs torchvision for other things."""
    file = Path(transformers.__file__).parent / "models/sam3/image_processing_sam3.py"
    tree = ast.parse(file.read_text(encoding="utf-8"))
    functions = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)}
    chosen = ast.Module([functions["_scale_boxes"], functions[name]], type_ignores=[])
    scope: dict[str, Any] = {"torch": torch}
    exec(compile(ast.fix_missing_locations(chosen), str(file), "exec"), scope)
    return scope[name]


@pytest.mark.parametrize("threshold", [0.0, 0.45, 0.5, 0.55])
@pytest.mark.parametrize("size", [(100, 150), (112, 112), (37, 260)])
def test_sam_3_finds_what_transformers_own_processing_finds(with_sam3, threshold, size):
    network, shown = with_sam3.network("text_head"), picture(*size)
    said = with_sam3.tokenizer("text_head")(
        "a red circle", padding="max_length", max_length=32, return_tensors="pt"
    )
    grey = (0.5, 0.5, 0.5)
    with torch.inference_mode():
        answer = network(pixel_values=preprocess(shown, Preprocessing(sam3.SIZE, grey, grey)), **said)
    wanted = published("post_process_instance_segmentation")(
        None, answer, threshold=threshold, mask_threshold=0.5, target_sizes=[size]
    )[0]
    found = Sam(with_sam3, CPU).answer(
        tensors(picture=shown, words="a red circle", threshold=number(threshold))
    )
    order = wanted["scores"].argsort(descending=True, stable=True)
    assert (len(order) == 12) == (threshold == 0.0) and len(order) > 0
    assert torch.equal(found["scores"], wanted["scores"][order])
    assert torch.equal(found["masks"], wanted["masks"][order].to(torch.uint8))
    assert 0 < float(found["masks"].float().mean()) < 1


def test_the_processing_compared_with_is_the_one_of_the_processor():
    """The processor for words hands its answers on to that very function."""
    from transformers.models.sam3.processing_sam3 import Sam3Processor

    source = inspect.getsource(Sam3Processor.post_process_instance_segmentation)
    assert "self.image_processor.post_process_instance_segmentation" in source
    call = inspect.signature(published("post_process_instance_segmentation"))
    assert list(call.parameters) == ["self", "outputs", "threshold", "mask_threshold", "target_sizes"]


def test_clipsegs_map_is_the_one_of_the_stock_network(service, sam_bundle):
    shown, half = picture(), (0.5, 0.5, 0.5)
    stock = CLIPSegForImageSegmentation.from_pretrained(sam_bundle.folder / "text_head").eval()
    said = sam_bundle.tokenizer("text_head")("the sky", return_tensors="pt")
    with torch.inference_mode():
        logits = stock(
            pixel_values=preprocess(shown, Preprocessing(64, half, half)), input_ids=said.input_ids
        ).logits
    head = service._head
    ours = head.map_of(head.embed(shown), "the sky")
    torch.testing.assert_close(ours, logits[0].sigmoid(), rtol=0, atol=1e-5)
    assert float(ours.std()) > 0.1


def test_things_come_by_falling_score_at_the_pictures_size(either):
    found = either.answer(tensors(picture=picture(40, 60), words="a red circle", threshold=number(0)))
    assert found["masks"].shape == (len(found["scores"]), 40, 60) and found["masks"].dtype == torch.uint8
    assert set(found["masks"].unique().tolist()) == {0, 1}
    assert found["scores"].tolist() == sorted(found["scores"].tolist(), reverse=True)
    assert found["best"].shape == (1,) and found["best"].dtype == torch.float32
    assert found["best"] == found["scores"][0]


def test_a_threshold_only_removes_instances_and_the_best_score_is_reported(either):
    def at(threshold: float | None) -> dict[str, torch.Tensor]:
        given = {} if threshold is None else {"threshold": number(threshold)}
        return either.answer(tensors(picture=picture(), words="a zebra", **given))

    every = at(0.0)
    best = float(every["best"])
    nothing = at(best)
    assert nothing["masks"].shape == (0, 100, 150) and nothing["scores"].shape == (0,)
    assert nothing["masks"].dtype == torch.uint8 and float(nothing["best"]) == best
    barely = at(best - 1e-6)
    assert torch.equal(barely["masks"], every["masks"][: len(barely["masks"])]) and len(barely["masks"])
    assert torch.equal(at(None)["scores"], at(0.5)["scores"])


def test_what_a_picture_holds_is_looked_at_once_for_any_number_of_phrases(either, monkeypatch):
    looked = []
    kind = type(either._head)
    for one in (kind, Sam2):
        embed = one.embed
        monkeypatch.setattr(
            one, "embed", lambda self, shown, e=embed: looked.append(self.name) or e(self, shown)
        )
    shown = picture()
    first = either.answer(tensors(picture=shown, words="a red circle", threshold=number(0)))
    before = list(looked)
    assert len(set(before)) == len(before)
    named = either.answer(tensors(picture_key=key(shown), words="a red circle", threshold=number(0)))
    other = either.answer(tensors(picture=shown, words="the blue sky", threshold=number(0)))
    assert looked == before
    assert torch.equal(named["masks"], first["masks"])
    assert not torch.equal(other["scores"], first["scores"]), "the words did not matter"


def test_a_picture_embedded_for_clicks_only_is_requested_again_for_words(either):
    shown = picture(seed=5)
    either.answer(tensors(picture=shown, points=CLICK))
    assert refusal(either, picture_key=key(shown), words="a dress").reason == "UNKNOWN_PICTURE"
    either.answer(tensors(picture=shown, words="a dress"))
    assert len(either.answer(tensors(picture_key=key(shown), points=CLICK))["masks"]) == 3


def test_features_for_words_are_kept_within_the_same_budget(sam_bundle):
    service = Sam(sam_bundle, CPU)
    service.answer(tensors(picture=picture(), words="a dress"))
    kept = service.facts()["kept"]
    assert kept["count"] == 2
    small = Sam(sam_bundle, CPU, cache_bytes=kept["bytes"])
    small.answer(tensors(picture=picture(), words="a dress"))
    small.answer(tensors(picture=picture(seed=1), words="a dress"))
    assert small.facts()["kept"]["bytes"] == kept["bytes"]
    assert refusal(small, picture_key=key(picture()), words="a dress").reason == "UNKNOWN_PICTURE"


def test_a_thing_in_two_pieces_of_the_map_is_one_thing(service, monkeypatch):
    """Both pieces lead SAM 2 to the same outline; only the better agreeing one is kept."""
    cut = torch.full((32, 32), 0.1)
    cut[8:24, 6:15] = cut[8:24, 17:26] = 0.9
    outline = torch.full((2, 32, 32), -4.0)
    outline[0, 8:24, 6:26] = outline[1, 8:25, 5:26] = 4.0
    monkeypatch.setattr(clipseg.ClipSegTextHead, "map_of", lambda *_: cut)
    monkeypatch.setattr(Sam2, "segment_each", lambda self, known, prompts: outline[: len(prompts)])
    found = service.answer(tensors(picture=picture(64, 64), words="a dress"))
    assert found["masks"].shape == (1, 64, 64)
    agreement = float(cut[8:24, 6:26].mean())
    assert found["scores"].tolist() == pytest.approx([agreement], abs=1e-6)


@pytest.mark.parametrize("chance", [0.0, float("nan")])
def test_a_map_without_any_chance_names_nothing(service, monkeypatch, chance):
    monkeypatch.setattr(clipseg.ClipSegTextHead, "map_of", lambda *_: torch.full((32, 32), chance))
    found = service.answer(tensors(picture=picture(20, 30), words="a dress", threshold=number(0)))
    assert found["masks"].shape == (0, 20, 30) and found["best"].tolist() == [0.0]


def test_an_answer_holds_as_many_of_the_best_as_it_can(either, monkeypatch):
    every = either.answer(tensors(picture=picture(), words="a dress", threshold=number(0)))
    monkeypatch.setattr(text_head, "MOST_BYTES", 100 * 150 * 2 - 1)
    few = either.answer(tensors(picture=picture(), words="a dress", threshold=number(0)))
    assert len(few["masks"]) == 1 and torch.equal(few["masks"][0], every["masks"][0])


def test_parts_are_those_that_another_library_finds():
    rng = np.random.default_rng(0)
    for _ in range(20):
        chances = cv2.GaussianBlur(rng.random((45, 64), np.float32), (0, 0), rng.uniform(0.5, 4))
        level = float(np.quantile(chances, rng.uniform(0.3, 0.9)))
        count, _, stats, _ = cv2.connectedComponentsWithStats(
            (chances > level).astype(np.uint8), connectivity=8
        )
        wanted = {(x, y, x + w, y + h) for x, y, w, h, _ in stats[1:].tolist()}
        parts = components_of(torch.from_numpy(chances), level, most=count)
        assert len(parts) == count - 1 and {part.box for part in parts} == wanted
        assert all(chances[int(part.y), int(part.x)] > level for part in parts)
        assert components_of(torch.from_numpy(chances), level, most=2) == parts[:2]


def test_a_part_is_pointed_at_in_its_middle():
    chances = torch.zeros(40, 60)
    chances[10:31, 20:41] = 0.9
    chances[2, 2:50] = 0.8
    square, line = components_of(chances, 0.5, most=9)
    assert square.box == (20, 10, 41, 31) and (square.x, square.y) == (30.5, 20.5)
    assert line.box == (2, 2, 50, 3) and line.y == 2.5


def test_the_trained_head_finds_what_is_named_and_sam_2_makes_it_sharper():
    """On held-out pictures, two phrases each: everything that is named, together."""
    service = Sam(Bundle.open(STARTER / "sam"), CPU)
    head, rough, fine = service._head, [], []
    for batch in (phrase_batch("validation", step, 15, 2) for step in range(4)):
        for phrase, place, truth in zip(batch.phrases, batch.which, batch.truth, strict=True):
            if truth.sum() > 60:
                shown = torch.from_numpy(batch.pixels[place])
                found = service.answer(tensors(picture=shown, words=phrase))["masks"].numpy().any(0)
                chances = head.map_of(
                    PictureRef(service._cache, pixels=shown).features_of(head), phrase
                ).numpy()
                rough.append(overlap(cv2.resize(chances, truth.shape[::-1]) > 0.5, truth))
                fine.append(overlap(found, truth))
    assert len(fine) > 60
    assert np.mean(fine) > 0.6 and np.mean(fine) > np.mean(rough)


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / max(1, (one | other).sum()))


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"words": torch.zeros(2)}, "words must be UINT8"),
        ({"words": ""}, "words must name what to find"),
        ({"words": "  "}, "words must name"),
        ({"words": "x" * 201}, "has 201 letters; at most 200"),
        ({"words": "dress", "points": CLICK}, "points cannot be combined with words"),
        ({"words": "dress", "box": torch.zeros(4)}, "box cannot be combined with words"),
        ({"words": "dress", "threshold": torch.zeros(1).double()}, "threshold must be FP32 (1)"),
        ({"words": "dress", "threshold": torch.zeros(2)}, "not (2,)"),
        ({"words": "dress", "threshold": number(1.5)}, "threshold must be in [0, 1], not 1.5"),
        ({"words": "dress", "threshold": number(float("nan"))}, "threshold must be in [0, 1], not nan"),
        ({"words": "dress", "picture_key": key(picture())}, "not both"),
    ],
)
def test_invalid_words_are_refused(sam_bundle, inputs, words):
    service = Sam(sam_bundle, CPU)
    refused = refusal(service, picture=picture(), **inputs)
    assert refused.reason == "INVALID_FIELD" and words in refused.message
    assert service.facts()["kept"]["count"] == 0, "a picture was embedded for nothing"


def test_any_phrase_that_is_short_enough_can_be_looked_for(either):
    for phrase in ("x" * 200, "日本の着物", "a\u0301 \U0001f457", "<|endoftext|>", "0"):
        assert either.answer(tensors(picture=picture(8, 9), words=phrase))["masks"].shape[1:] == (8, 9)


@pytest.mark.parametrize("size", [(1, 1), (1, 400), (3, 2)])
def test_a_picture_of_any_shape_can_be_looked_through(either, size):
    found = either.answer(tensors(picture=picture(*size), words="a dress", threshold=number(0)))
    assert found["masks"].shape[1:] == size


def test_weights_without_a_text_head_say_so(sam_bundle, tmp_path):
    bundle = copied(sam_bundle, tmp_path)
    shutil.rmtree(bundle.folder / "text_head")
    service = Sam(Bundle.open(bundle.folder), CPU)
    service.probe()
    facts = service.facts()
    assert (facts["words"], facts["words_size"]) == (False, None)
    refused = refusal(service, picture=picture(), words="dress")
    assert refused.reason == "NOT_READY" and "points or a box to find 'dress'" in refused.message
    assert len(service.answer(tensors(picture=picture(), points=CLICK))["masks"]) == 3


def test_the_facts_say_how_words_are_looked_for(service, with_sam3):
    assert (service.facts()["words"], service.facts()["words_size"]) == (True, 64)
    assert (Sam(with_sam3, CPU).facts()["words"], Sam(with_sam3, CPU).facts()["words_size"]) == (True, 112)


def test_a_probe_also_searches_by_words_and_caches_nothing(either, monkeypatch):
    looked = []
    find = type(either._head).find
    monkeypatch.setattr(type(either._head), "find", lambda *arguments: looked.append(1) or find(*arguments))
    either.probe()
    assert looked and either.facts()["kept"]["count"] == 0


@pytest.mark.parametrize(
    ("looks", "said"),
    [
        ({"size": 64}, "must name size"),
        ({"size": {"height": 64, "width": 64}, "image_mean": [0.5], "image_std": [0.5] * 3}, "image_mean"),
        (
            {"size": {"height": 64, "width": 32}, "image_mean": [0.5] * 3, "image_std": [0.5] * 3},
            "must be a square, not 32 x 64",
        ),
    ],
)
def test_a_text_head_with_an_unknown_preprocessor_is_an_error(looks, said):
    with pytest.raises(BundleError, match=said):
        Preprocessing.of(looks)


def test_a_network_that_is_no_text_head_is_an_error(sam_bundle, ip2p, tmp_path):
    bundle = copied(sam_bundle, tmp_path)
    shutil.rmtree(bundle.folder / "text_head")
    shutil.copytree(ip2p.folder / "text_encoder", bundle.folder / "text_head")
    with pytest.raises(BundleError, match="a CLIPTextModel cannot be its text_head"):
        Sam(Bundle.open(bundle.folder), CPU)

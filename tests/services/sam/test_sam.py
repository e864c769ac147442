from __future__ import annotations

import hashlib
import shutil

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn import functional

from services.bundles.bundle import Bundle
from services.sam.preprocessing import Preprocessing, key_of, preprocess
from services.sam.sam2 import Prompt, Sam2
from services.sam.service import Sam
from tests.services.calls import refusal, tensors
from tests.services.sam.pictures import key, picture

CPU = torch.device("cpu")
CLICK = torch.tensor([[60.0, 40.0, 1.0]])
CLICKS = torch.tensor([[60.0, 40.0, 1.0], [10.0, 90.0, 0.0]])
BOX = torch.tensor([20.0, 30.0, 90.0, 80.0])


@pytest.fixture(scope="module")
def service(sam_bundle: Bundle) -> Sam:
    return Sam(sam_bundle, CPU)


@pytest.fixture(scope="module")
def video_predictor(sam_bundle, tmp_path_factory):
    """The sam2 library's own predictor on the same weights, for clips of one frame."""
    folder = shutil.copytree(sam_bundle.folder, tmp_path_factory.mktemp("video") / "sam")
    config = folder / "config.yaml"
    config.write_text(
        config.read_text().replace(
            "sam2.modeling.sam2_base.SAM2Base", "sam2.sam2_video_predictor.SAM2VideoPredictor"
        )
    )
    return Bundle.open(folder).network("sam")


@pytest.mark.parametrize(
    ("points", "box"), [(CLICK, None), (CLICKS, None), (None, BOX), (CLICKS[1:], BOX), (CLICK, BOX)]
)
def test_the_best_mask_is_the_one_the_sam2_library_finds(service, video_predictor, tmp_path, points, box):
    """Against SAM2VideoPredictor on a clip of one frame, without its hole filling; every pixel equal."""
    Image.fromarray(picture(128, 128).numpy()).save(tmp_path / "0.jpg", quality=95)
    shown = torch.from_numpy(np.array(Image.open(tmp_path / "0.jpg")))
    state = video_predictor.init_state(str(tmp_path))
    _, _, logits = video_predictor.add_new_points_or_box(
        state,
        frame_idx=0,
        obj_id=1,
        points=None if points is None else points[:, :2],
        labels=None if points is None else points[:, 2].int(),
        box=box,
    )
    prompt = {name: value for name, value in {"points": points, "box": box}.items() if value is not None}
    mask = service.answer(tensors(picture=shown, **prompt))["masks"][0]
    assert 0 < int(mask.sum()) < mask.numel()
    assert torch.equal(mask, (logits[0, 0] > 0).to(torch.uint8))


@pytest.mark.parametrize(("points", "box"), [(CLICK, None), (CLICKS, None), (None, BOX), (CLICK, BOX)])
@pytest.mark.parametrize("size", [(100, 150), (300, 97)])
def test_every_candidate_is_the_one_of_the_sam2_librarys_own_heads(sam_bundle, service, points, box, size):
    """Against SAM2Base: forward_image, _prepare_backbone_features, _forward_sam_heads; every pixel equal."""
    network = sam_bundle.network("sam")
    shown = picture(*size)
    coordinates, labels = [], []
    if box is not None:
        coordinates, labels = [box.view(2, 2)], [torch.tensor([2, 3])]
    if points is not None:
        coordinates, labels = [*coordinates, points[:, :2]], [*labels, points[:, 2].int()]
    scaled = torch.cat(coordinates) / torch.tensor([size[1], size[0]]) * 128
    with torch.inference_mode():
        features = network.forward_image(preprocess(shown, Preprocessing(128)))
        _, flat, _, sizes = network._prepare_backbone_features(features)
        flat[-1] = flat[-1] + network.no_mem_embed
        maps = [
            level.permute(1, 2, 0).view(1, -1, *extent) for level, extent in zip(flat, sizes, strict=True)
        ]
        low, _, scores, *_ = network._forward_sam_heads(
            backbone_features=maps[-1],
            point_inputs={"point_coords": scaled[None], "point_labels": torch.cat(labels)[None].int()},
            high_res_features=maps[:-1],
            multimask_output=box is None and len(points) == 1,
        )
        masks = functional.interpolate(low, size=size, mode="bilinear", align_corners=False)[0] > 0
    prompt = {name: value for name, value in {"points": points, "box": box}.items() if value is not None}
    answer = service.answer(tensors(picture=shown, **prompt))
    order = scores[0].argsort(descending=True)
    torch.testing.assert_close(answer["scores"], scores[0][order], rtol=0, atol=1e-6)
    assert torch.equal(answer["masks"], masks[order].to(torch.uint8))


def test_a_picture_is_scaled_as_pillow_would(service):
    """An independent implementation of antialiased scaling agrees to a grey level."""
    shown = picture(301, 217)
    mean, deviation = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    ours = preprocess(shown, Preprocessing(128))[0].permute(1, 2, 0) * deviation + mean
    theirs = Image.fromarray(shown.numpy()).resize((128, 128), Image.Resampling.BILINEAR)
    assert float((ours - torch.from_numpy(np.array(theirs)) / 255).abs().max()) < 1.01 / 255


def test_a_single_click_has_three_readings_and_a_clear_prompt_one(service):
    shown = picture()
    count = {
        name: len(service.answer(tensors(picture=shown, **prompt))["scores"])
        for name, prompt in {
            "click": {"points": CLICK},
            "clicks": {"points": CLICKS},
            "box": {"box": BOX},
            "click in a box": {"points": CLICK, "box": BOX},
        }.items()
    }
    assert count == {"click": 3, "clicks": 1, "box": 1, "click in a box": 1}


def test_candidates_come_by_falling_score_at_the_pictures_size(service):
    answer = service.answer(tensors(picture=picture(40, 60), points=torch.tensor([[59.5, 39.5, 1.0]])))
    assert answer["masks"].shape == (3, 40, 60) and answer["masks"].dtype == torch.uint8
    assert set(answer["masks"].unique().tolist()) <= {0, 1}
    assert answer["scores"].tolist() == sorted(answer["scores"].tolist(), reverse=True)
    assert float(answer["scores"].min()) >= 0 and float(answer["scores"].max()) <= 1


def test_a_known_picture_is_not_embedded_again(sam_bundle, monkeypatch):
    service = Sam(sam_bundle, CPU)
    embedded = []
    embed = Sam2.embed
    monkeypatch.setattr(Sam2, "embed", lambda self, shown: embedded.append(1) or embed(self, shown))
    shown = picture()
    first = service.answer(tensors(picture=shown, points=CLICK))
    again = service.answer(tensors(picture=shown.clone(), points=CLICK))
    named = service.answer(tensors(picture_key=key(shown), points=CLICK))
    assert len(embedded) == 1
    for answer in (again, named):
        assert torch.equal(answer["masks"], first["masks"])
        assert torch.equal(answer["scores"], first["scores"])


def test_a_pictures_key_is_a_digest_of_its_size_and_bytes():
    shown = picture(5, 7)
    assert key_of(shown) == hashlib.sha256(b"5x7:" + shown.numpy().tobytes()).digest()
    assert key_of(shown.reshape(7, 5, 3)) != key_of(shown)
    sliced = picture(5, 14)[:, ::2]
    assert key_of(sliced) == key_of(sliced.clone())


def test_the_least_recently_used_picture_makes_space(sam_bundle):
    one = Sam2(sam_bundle.network("sam")).embed(picture()).bytes
    service = Sam(sam_bundle, CPU, cache_bytes=2 * one)
    first, second, third = (picture(seed=seed) for seed in range(3))
    for shown in (first, second):
        service.answer(tensors(picture=shown, points=CLICK))
    service.answer(tensors(picture_key=key(first), points=CLICK))
    service.answer(tensors(picture=third, points=CLICK))
    assert refusal(service, picture_key=key(second), points=CLICK).reason == "UNKNOWN_PICTURE"
    service.answer(tensors(picture_key=key(first), points=CLICK))
    kept = service.facts()["kept"]
    assert (kept["count"], kept["bytes"]) == (2, 2 * one)


def test_a_probe_leaves_nothing_behind(sam_bundle):
    service = Sam(sam_bundle, CPU)
    service.probe()
    assert service.facts()["kept"]["count"] == 0


@pytest.mark.parametrize("size", [(1, 1), (1, 500), (3, 2)])
def test_a_picture_of_any_shape_gets_a_mask_of_that_shape(service, size):
    answer = service.answer(tensors(picture=picture(*size), points=torch.tensor([[0.0, 0.0, 1.0]])))
    assert answer["masks"].shape[1:] == size


@pytest.mark.parametrize(
    ("inputs", "reason", "words"),
    [
        ({"points": CLICK}, "INVALID_FIELD", "picture or picture_key must be given"),
        ({"picture": picture(), "picture_key": key(picture())}, "INVALID_FIELD", "not both"),
        ({"picture": picture()}, "INVALID_FIELD", "points or a box must be given"),
        ({"picture_key": key(picture(seed=9)), "points": CLICK}, "UNKNOWN_PICTURE", "send its pixels"),
        ({"picture_key": torch.zeros(31, dtype=torch.uint8), "points": CLICK}, "INVALID_FIELD", "32 bytes"),
        ({"picture": picture().float(), "points": CLICK}, "INVALID_FIELD", "must be UINT8"),
        ({"picture": picture()[..., :2], "points": CLICK}, "INVALID_FIELD", "(height, width, 3)"),
        ({"picture": picture()[:0], "points": CLICK}, "INVALID_FIELD", "no pixel: it is 150 x 0"),
        (
            {"picture": torch.zeros(1, dtype=torch.uint8).expand(20000, 10000, 3), "points": CLICK},
            "INVALID_FIELD",
            "scale it down",
        ),
        ({"picture": picture(), "points": CLICK[:, :2]}, "INVALID_FIELD", "(count, 3): x, y, label"),
        ({"picture": picture(), "points": CLICK[:0]}, "INVALID_FIELD", "must be 1 to 1024, not 0"),
        ({"picture": picture(), "points": CLICK.expand(1025, 3)}, "INVALID_FIELD", "not 1025"),
        ({"picture": picture(), "points": CLICK * torch.nan}, "INVALID_FIELD", "finite"),
        ({"picture": picture(), "points": torch.tensor([[1.0, 1, 2]])}, "INVALID_FIELD", "labels 1"),
        ({"picture": picture(), "points": CLICKS[1:]}, "INVALID_FIELD", "at least one with label 1"),
        (
            {"picture": picture(), "points": torch.tensor([[151.0, 1, 1]])},
            "INVALID_FIELD",
            "150 x 100 pixels",
        ),
        (
            {"picture": picture(seed=7), "points": torch.tensor([[1.0, -1, 1]])},
            "INVALID_FIELD",
            "in the picture",
        ),
        ({"picture": picture(), "box": BOX[:3]}, "INVALID_FIELD", "left, top, right, bottom"),
        ({"picture": picture(), "box": BOX.flip(0)}, "INVALID_FIELD", "left < right"),
        ({"picture": picture(seed=8), "box": BOX * 2}, "INVALID_FIELD", "within the picture"),
        (
            {"picture": picture(), "box": BOX, "threshold": torch.ones(1)},
            "INVALID_FIELD",
            "is used with words",
        ),
    ],
)
def test_an_invalid_request_is_refused_with_the_reason(service, inputs, reason, words):
    kept = service.facts()["kept"]["count"]
    refused = refusal(service, **inputs)
    assert refused.reason == reason
    assert words in refused.message
    assert service.facts()["kept"]["count"] == kept, "a picture was embedded for nothing"


def test_a_click_beside_the_thing_may_come_alone_with_a_box(sam_bundle):
    network = Sam2(sam_bundle.network("sam"))
    assert len(network.segment(network.embed(picture()), Prompt(CLICKS[1:], BOX)).scores) == 1


def test_the_facts_describe_the_loaded_weights_even_if_the_folder_changed(sam_bundle, tmp_path):
    bundle = Bundle.open(shutil.copytree(sam_bundle.folder, tmp_path / "sam"))
    service = Sam(bundle, CPU)
    (bundle.folder / "model.safetensors").unlink()
    assert service.facts()["weights"] == sam_bundle.digest


def test_the_facts_say_which_weights(service, sam_bundle):
    facts = service.facts()
    assert (facts["weights"], facts["size"]) == (sam_bundle.digest, 128)

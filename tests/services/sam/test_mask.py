"""Masks to be corrected: SAM 2 takes them as its own library does, and clicks mend what is wrong."""

from __future__ import annotations

import cv2
import numpy as np
import pytest
import torch
from torch.nn import functional

from services.bundles.bundle import Bundle
from services.sam.correction import with_positive_click
from services.sam.preprocessing import Preprocessing, preprocess
from services.sam.sam2 import Prompt
from services.sam.service import Sam
from tests.services.calls import refusal, tensors
from tests.services.sam.pictures import picture
from training.recipes.options import STARTER
from training.recipes.sam_prompt import Prompts, with_correction
from training.world.address import Address
from training.world.scene import a_scene, draw

CPU = torch.device("cpu")
CLICKS = torch.tensor([[60.0, 40.0, 1.0], [10.0, 90.0, 0.0]])
BESIDE = CLICKS[1:]
BOX = torch.tensor([20.0, 30.0, 90.0, 80.0])
MASK = torch.zeros(100, 150, dtype=torch.uint8)
MASK[20:70, 30:120] = 1


@pytest.fixture(scope="module")
def service(sam_bundle: Bundle) -> Sam:
    return Sam(sam_bundle, CPU)


@pytest.fixture(scope="module")
def trained() -> Sam:
    return Sam(Bundle.open(STARTER / "sam"), CPU)


def resized(mask: torch.Tensor, size: tuple[int, int]) -> torch.Tensor:
    return functional.interpolate(mask[None, None], size=size)[0, 0]


@pytest.mark.parametrize(
    ("points", "box"), [(CLICKS[:1], None), (CLICKS, None), (BESIDE, None), (BESIDE, BOX), (None, BOX)]
)
@pytest.mark.parametrize("size", [(100, 150), (300, 97)])
def test_a_mask_is_corrected_as_by_the_sam2_librarys_own_heads(sam_bundle, service, points, box, size):
    """Against SAM2Base._forward_sam_heads, given the mask as the logits that the library makes of one."""
    network, shown, mask = sam_bundle.network("sam"), picture(*size), resized(MASK, size)
    meant = with_positive_click(Prompt(points, box, mask)).points
    coordinates, labels = [], []
    if box is not None:
        coordinates, labels = [box.view(2, 2)], [torch.tensor([2, 3])]
    if meant is not None:
        coordinates, labels = [*coordinates, meant[:, :2]], [*labels, meant[:, 2].int()]
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
            mask_inputs=mask[None, None].float() * 20 - 10,
            high_res_features=maps[:-1],
            multimask_output=False,
        )
        wanted = functional.interpolate(low, size=size, mode="bilinear", align_corners=False)[0] > 0
    prompt = {name: value for name, value in {"points": points, "box": box}.items() if value is not None}
    answer = service.answer(tensors(picture=shown, mask=mask, **prompt))
    torch.testing.assert_close(answer["scores"], scores[0], rtol=0, atol=1e-6)
    assert torch.equal(answer["masks"], wanted.to(torch.uint8))


def test_a_mask_matters_and_makes_even_a_single_click_clear(service):
    shown = picture()
    with_mask = service.answer(tensors(picture=shown, points=CLICKS[:1], mask=MASK))
    with_another = service.answer(tensors(picture=shown, points=CLICKS[:1], mask=1 - MASK))
    assert len(with_mask["masks"]) == 1
    assert not torch.equal(with_mask["scores"], with_another["scores"])


def test_a_positive_click_is_added_where_the_mask_is_deepest():
    mask = torch.zeros(100, 200, dtype=torch.uint8)
    mask[10:90, 100:190] = 1  # the larger part, and not meant
    mask[30:60, 10:50] = 1
    beside = torch.tensor([[150.0, 50.0, 0.0]])
    clicks = with_positive_click(Prompt(points=beside, mask=mask)).points
    assert torch.equal(clicks[1:], beside)
    x, y, label = clicks[0].tolist()
    assert label == 1 and abs(x - 30) < 6 and abs(y - 45) < 6
    # Where every part was clicked on, it is the place furthest from the clicks.
    both = torch.tensor([[110.0, 20.0, 0.0], [30.0, 45.0, 0.0]])
    x, y, _ = with_positive_click(Prompt(points=both, mask=mask)).points[0].tolist()
    assert mask[int(y), int(x)] and x > 140 and y > 40


@pytest.mark.parametrize("prompt", [Prompt(CLICKS, None, MASK), Prompt(BESIDE, BOX, MASK), Prompt(CLICKS)])
def test_a_prompt_with_a_click_on_the_thing_or_a_box_is_unchanged(prompt):
    assert with_positive_click(prompt) is prompt


def test_one_click_corrects_a_wrong_mask(trained):
    """Half of a thing is missing, or a blob or a neighbour too much; one click in the middle of that."""
    before: dict[int, list[float]] = {0: [], 1: []}
    after: dict[int, list[float]] = {0: [], 1: []}
    for index in range(20):
        address = Address("validation", "spoiled", index)
        shown, rng = draw(a_scene(address, fewest=2)), address.rng("spoil")
        things = [mask for mask in shown.masks > 0.5 if mask.sum() > 100]
        for thing in things:
            mask = spoiled(rng, thing, things)
            click = with_correction(Prompts(np.zeros((1, 0, 2)), np.zeros((1, 0))), [mask], [thing])
            points = np.concatenate([click.points[0], click.labels[0][:, None]], axis=1)
            answer = trained.answer(
                {
                    "picture": torch.from_numpy(shown.pixels),
                    "points": torch.from_numpy(points).float(),
                    "mask": torch.from_numpy(mask.astype(np.uint8)),
                }
            )
            label = int(click.labels[0, 0])
            before[label].append(overlap(mask, thing))
            after[label].append(overlap(answer["masks"][0].numpy() > 0, thing))
    for label in (0, 1):
        assert len(before[label]) > 10 and np.mean(before[label]) < 0.7
        assert np.mean(after[label]) > 0.8 and np.median(after[label]) > 0.9


def spoiled(rng: np.random.Generator, thing: np.ndarray, things: list[np.ndarray]) -> np.ndarray:
    """A mask that is wrong by a good part of the thing."""
    columns = np.nonzero(thing)[1]
    way = rng.integers(3)
    if way == 0:
        return thing & (np.arange(thing.shape[1]) > np.quantile(columns, rng.uniform(0.35, 0.65)))
    if way == 1:
        return thing | things[rng.integers(len(things))] | _blob(rng, thing.shape)
    return thing | _blob(rng, thing.shape)


def _blob(rng: np.random.Generator, shape: tuple[int, int]) -> np.ndarray:
    blob = np.zeros(shape, np.uint8)
    centre = (int(rng.integers(shape[1])), int(rng.integers(shape[0])))
    cv2.circle(blob, centre, int(rng.integers(12, 22)), 1, -1)
    return blob > 0


def overlap(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


@pytest.mark.parametrize(
    ("inputs", "words"),
    [
        ({"mask": MASK}, "points or a box must be given"),
        ({"points": CLICKS, "mask": MASK.float()}, "mask must be UINT8 (height, width), not (100, 150)"),
        ({"points": CLICKS, "mask": MASK[None]}, "not (1, 100, 150)"),
        ({"points": CLICKS, "mask": MASK[:99]}, "the picture's size, 150 x 100 pixels; it is 150 x 99"),
        ({"points": CLICKS, "mask": MASK[:0]}, "selects no pixel"),
        ({"points": CLICKS, "mask": MASK * 255}, "1 inside and 0 outside, not 255"),
        ({"points": CLICKS, "mask": MASK * 0}, "nothing to correct"),
        ({"points": BESIDE}, "unless there is a box or a mask"),
        ({"words": "dress", "mask": MASK}, "mask cannot be combined with words"),
    ],
)
def test_a_mask_that_cannot_be_corrected_is_refused(sam_bundle, inputs, words):
    service = Sam(sam_bundle, CPU)
    refused = refusal(service, picture=picture(), **inputs)
    assert refused.reason == "INVALID_FIELD" and words in refused.message
    assert service.facts()["kept"]["count"] == 0, "a picture was embedded for nothing"

"""The parts of recipes: prompts, batches, losses, cached arrays, figures."""

import json

import cv2
import numpy as np
import pytest
import torch
from torch import nn

from training.recipes import fill_measure, patch_classes, text_measure
from training.recipes.array_cache import cached_arrays
from training.recipes.card import write_measured
from training.recipes.component import write_defaults
from training.recipes.edit_measure import PhotoKind, edit_cases, figures_of
from training.recipes.figure import Figure, table, tally
from training.recipes.fill_measure import gaps
from training.recipes.muon import optimizer_for
from training.recipes.pixels import to_network, to_pictures
from training.recipes.sam_forward import Prediction
from training.recipes.sam_loss import iou, loss_of
from training.recipes.sam_prompt import NEGATIVE, POSITIVE, boxes, clicks, multiple_clicks, with_correction
from training.recipes.sam_samples import SIDE, clips, coverage, mask_prompts, stills
from training.recipes.text_samples import phrase_batch
from training.world.address import Address
from training.world.edit import GONE, some_versions
from training.world.hue import COLOURS
from training.world.scene import a_scene, draw
from training.world.shape import SHAPES


def disc(x: float, y: float, radius: float) -> np.ndarray:
    down, across = np.mgrid[0:128, 0:128]
    return (across - x) ** 2 + (down - y) ** 2 < radius**2


def test_a_click_without_a_generator_is_the_deepest_point():
    assert clicks([disc(40, 80, 15)]).points[0, 0] == pytest.approx([40.5, 80.5], abs=1.5)


def test_clicks_fall_on_their_things():
    rng, shown = np.random.default_rng(0), stills("validation", "prompts", 0, 4)
    prompts = multiple_clicks(shown.masks, rng)
    for mask, points, labels in zip(shown.masks, prompts.points, prompts.labels, strict=True):
        for (x, y), label in zip(points, labels, strict=True):
            assert mask[int(y), int(x)] == (label == POSITIVE)


def test_a_tight_box_holds_its_thing_with_open_edges():
    mask = np.zeros((128, 128), bool)
    mask[10:20, 30:50] = True
    assert boxes([mask]).points.tolist() == [[[30, 10], [50, 20]]]


def test_a_correction_points_at_the_larger_mistake():
    truth, answer = disc(40, 40, 12), disc(40, 40, 12) | disc(90, 90, 15)
    prompts = with_correction(clicks([truth]), np.stack([answer]), [truth])
    assert prompts.labels.tolist() == [[POSITIVE, NEGATIVE]]
    assert prompts.points[0, 1] == pytest.approx([90, 90], abs=2)


def test_a_mask_prompt_keeps_its_place_at_another_size():
    mask = disc(40, 80, 15)
    large = mask_prompts(mask[None], 256)
    assert large.shape == (1, 1, 256, 256)
    assert iou(torch.nn.functional.avg_pool2d(large, 2)[0] > 0.5, torch.from_numpy(mask)).item() > 0.95


def test_stills_hold_two_things_at_least_and_say_where():
    for large in (False, True):
        shown = stills("train", "sam", 0, 6, large=large)
        assert len(shown.masks) == len(shown.which) and shown.which.max() == 5
        assert coverage(shown.masks).shape[1:] == (SIDE, SIDE)


def test_a_batch_of_clips_starts_with_its_thing_visible():
    for step in range(6):
        shown = clips(step, 3, 5)
        assert shown.pixels.shape[:2] == (3, 5)
        assert (shown.masks[:, 0].sum((1, 2)) > 40).all()


def test_a_perfect_answer_costs_almost_nothing():
    truth = torch.from_numpy(np.stack([disc(40, 40, 20)])).float()
    low = torch.nn.functional.avg_pool2d(truth[:, None], 2)
    said = Prediction((low * 2 - 1) * 40, torch.ones(1, 1), torch.full((1, 1), 20.0))
    wrong = Prediction(-(low * 2 - 1) * 40, torch.zeros(1, 1), torch.full((1, 1), 20.0))
    assert loss_of(said, truth)[0] < 0.3 < loss_of(wrong, truth)[0]
    assert loss_of(said, truth)[1] > 0.95


def test_two_empty_masks_agree():
    assert iou(torch.zeros(2, 4, 4).bool(), torch.zeros(2, 4, 4).bool()).tolist() == [1, 1]


def test_phrases_name_present_and_absent_things():
    batches = [phrase_batch("train", step, 10, 4) for step in range(4)]
    found = np.concatenate([part.truth.any((1, 2)) for part in batches])
    assert 0.6 < found.mean() < 0.9
    assert all(len(part.phrases) == 40 for part in batches)


def test_every_pixel_is_named_by_the_thing_that_is_seen_there():
    scene = a_scene(Address("validation", "names", 3), fewest=3)
    visible = draw(scene).masks > 0.5
    names = patch_classes.class_map(scene.things, visible)
    assert (names == 0)[~visible.any(0)].all()
    for thing, mask in zip(scene.things, visible, strict=True):
        shape, colour = divmod(int(names[mask][0]) - 1, len(COLOURS))
        assert (SHAPES[shape], COLOURS[colour]) == (thing.shape, thing.colour)
        assert len(set(names[mask])) == 1


def test_the_patch_loss_is_least_where_classes_are_right():
    torch.manual_seed(0)
    classifier = patch_classes.PatchClassifier(4)
    shown = phrase_batch("validation", 0, 2, 0)
    names = torch.from_numpy(shown.names)
    features = torch.randn(2, 256, 4, requires_grad=True)
    guessed = classifier.loss(features, names)
    for head, kinds in ((classifier.shape, 8), (classifier.colour, 9)):
        assert head.out_features == kinds
    optimizer = torch.optim.Adam([features, *classifier.parameters()], lr=0.1)
    for _ in range(60):
        optimizer.zero_grad()
        classifier.loss(features, names).backward()
        optimizer.step()
    assert classifier.loss(features, names) < 0.3 * guessed


def test_a_perfect_edit_scores_full_marks():
    for case in edit_cases("validation", 12):
        said = figures_of(case, case.target.pixels / 255.0)
        assert said.get("recolour right", 1.0) == 1.0
        assert said.get("remove nearer", 1.0) == 1.0
        assert said["background dB"] > 60
        for kind in ("reshape", "replace"):
            assert said.get(f"{kind} IoU", 1.0) > 0.9


def test_doing_nothing_is_not_an_edit():
    for case in edit_cases("validation", 12):
        said = figures_of(case, case.source.pixels / 255.0)
        assert said.get("recolour right", 0.0) == 0.0
        assert said.get("remove nearer", 0.0) < 0.01
        assert said.get("replace IoU", 0.0) < 0.3


def test_gaps_are_in_the_ground_alone():
    found = gaps("validation", 12)
    assert len(found) == 12
    for index, gap in enumerate(found):
        behind = some_versions(Address("validation", "gaps", index)).pictures()[GONE]
        assert np.array_equal(gap.truth, behind.pixels)
        assert not (behind.masks > 0).any(0)[gap.hole].any()
        assert 100 < gap.hole.sum() < gap.hole.size / 2


def test_the_truth_fills_better_than_anything():
    for gap in gaps("validation", 6):
        said = fill_measure.figures_of(gap, gap.truth.astype(np.float32))
        assert said["all dB"] > 80 and said["all over Telea dB"] > 20 and said["all over mean dB"] > 20
        assert ("textured over Telea dB" in said) == gap.textured


def test_finding_exactly_what_is_named_scores_full_marks():
    (batch,) = text_measure.phrase_batches("validation", 15)
    said = tally(text_measure.figures_of(batch, batch.truth))
    assert said == {"present IoU": 1.0, "absent empty": 1.0, "swapped IoU": 0.0}
    everything = tally(text_measure.figures_of(batch, np.ones_like(batch.truth)))
    assert everything["absent empty"] == 0.0 and everything["present IoU"] < 0.3


def test_a_tally_counts_given_values_only():
    rows = [{"a": 1.0}, {"a": 2.0, "b": 5.0}]
    assert tally(rows) == {"a": 1.5, "b": 5.0} and tally(rows, len) == {"a": 2.0, "b": 1.0}


def test_pictures_survive_the_way_to_a_network_and_back():
    pictures = np.random.default_rng(0).integers(0, 256, (2, 8, 8, 3), np.uint8)
    assert np.array_equal(to_pictures(to_network(pictures)), pictures)


def test_cached_arrays_are_computed_once(tmp_path):
    made = []

    def make(index):
        made.append(index)
        return {"row": np.full(3, index, np.float32)}

    for _ in range(2):
        arrays = cached_arrays(tmp_path / "rows", 4, make)
    assert made == [0, 1, 2, 3]
    assert arrays["row"][:, 0].tolist() == [0, 1, 2, 3]


def test_muon_steps_equally_far_in_loud_and_quiet_directions():
    torch.manual_seed(0)
    network = nn.Linear(16, 16, bias=False)
    nn.init.zeros_(network.weight)
    optimizer = optimizer_for(network, matrix_rate=0.1, vector_rate=0.01)
    loudness = torch.logspace(0, -2, 16)
    rotation = torch.linalg.qr(torch.randn(16, 16)).Q
    network.weight.grad = rotation * loudness
    optimizer.step()
    steps = torch.linalg.svdvals(network.weight.detach()) / 0.1
    assert steps.max() < 1.3 and steps.min() > 0.3


def test_figures_of_a_working_size_and_facts_are_listed_in_the_notes_of_a_bundle(tmp_path):
    write_defaults(tmp_path, steps=10)
    sized = [Figure("a", 0.91234, side=128), Figure("b", 0.5, side=128)]
    write_measured(tmp_path, [*sized, Figure("c", 1.0), Figure("d", 0.99712, fact="removal")])
    notes = json.loads((tmp_path / "intarsia.json").read_text())
    sizes = {"128": {"a": 0.9123, "b": 0.5}}
    assert notes == {"defaults": {"steps": 10}, "sizes": sizes, "removal": 0.9971}


def test_an_outline_that_is_left_shows_at_the_rim():
    (_, case), *_ = PhotoKind(kinds=("remove",)).cases("validation", 1)
    clean = figures_of(case, case.target.pixels / 255)
    outlined = case.target.pixels.copy()
    rim = cv2.dilate(case.before.astype(np.uint8), np.ones((5, 5), np.uint8)) > 0
    outlined[rim & ~(cv2.erode(case.before.astype(np.uint8), np.ones((3, 3), np.uint8)) > 0)] = 255, 0, 0
    assert clean["remove rim"] == 0 and clean["remove nearer"] == 1
    assert figures_of(case, outlined / 255)["remove rim"] > 0.05


def test_a_figure_knows_whether_it_is_reached():
    assert Figure("a", 0.9, 0.8, 0.95).verdict == "reached"
    assert Figure("a", 0.7, 0.8, 0.95).verdict == "under"
    assert Figure("a", 0.2, 0.5, 0.25, least=True).verdict == "goal"
    assert "97.0 %" in table([Figure("a", 0.97, 0.9, 1.0, "%")])

"""The starter weights behind a real Triton do what their cards say, on pictures they have not learnt from.

Thresholds are well under the cards' figures, for a dozen samples are few; what measures is
`python -m benchmarks.served_figures`. These tests are about weights and services that have come apart: a
mask that lies elsewhere, a polarity turned round, words that arrive as other words.
"""

from __future__ import annotations

import io
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pytest
import torch
from PIL import Image

import intarsia
from benchmarks.clips import decode, encode
from deploy.local.stack import Stack, StackSettings
from deploy.local.weights import STARTER
from intarsia.errors import EmptyRegion
from tests.e2e.conftest import THREADS
from training.recipes import fill_measure
from training.recipes.edit_measure import EditCase, figures_of
from training.recipes.figure import Row, tally
from training.recipes.figures_of_sam import tracking_case
from training.recipes.sam_prompt import deepest_point
from training.world.address import Address
from training.world.edit import GONE, SceneEdit
from training.world.hue import COLOURS
from training.world.scene import Scene, draw
from training.world.shape import SHAPES
from training.world.thing import a_thing

HELD_OUT = "validation"  # the test split is for the cards alone
SIDE = 256
PLACES = ((64, 64), (192, 64), (64, 192), (192, 192))


@pytest.fixture(scope="module")
def stack(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Stack]:
    """The whole platform with the starter weights, in place of the random ones."""
    with Stack(StackSettings(tmp_path_factory.mktemp("starter"), STARTER, threads=THREADS)) as running:
        yield running


def four_things(index: int) -> Scene:
    """Four colours and four shapes, one in each quarter of the picture; beside them there is room."""
    address = Address(HELD_OUT, "four things", index)
    rng = address.rng("things")
    kinds = zip(rng.permutation(SHAPES)[:4], rng.permutation(COLOURS)[:4], PLACES, strict=True)
    things = tuple(
        a_thing(rng, shape=str(shape), colour=str(colour), x=x, y=y, radius=rng.uniform(26, 38))
        for shape, colour, (x, y) in kinds
    )
    return Scene(address, things, SIDE, SIDE)


def asked(scene: Scene, place: int, colour: str | None) -> EditCase:
    """A thing that becomes another colour, or goes; whoever draws it last draws the same picture."""
    thing = scene.things[place]
    others = tuple(other for other in scene.things if other is not thing)
    new = None if colour is None else replace(thing, colour=colour)
    edit = (
        SceneEdit("recolour", 0, 1, f"make it {colour}") if new else SceneEdit("remove", 0, GONE, "remove it")
    )
    source, target = (draw(replace(scene, things=(*others, *end))) for end in ([thing], [new] if new else []))
    return EditCase(edit, new, source, target)


def png(pixels: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "PNG")
    return file.getvalue()


def opened(client: intarsia.Client, name: str) -> np.ndarray:
    return np.asarray(Image.open(io.BytesIO(client.read(name))))


def masked(inside: np.ndarray) -> intarsia.Region:
    """What a mask, bool (height, width), holds."""
    return intarsia.mask(png(inside.astype(np.uint8) * 255), inside="white")


def clicked(inside: np.ndarray) -> intarsia.Region:
    """What is found by a click well inside a thing."""
    return intarsia.click(*deepest_point(inside).tolist())


def selected(client: intarsia.Client, picture: np.ndarray, where: intarsia.Region) -> np.ndarray:
    """What a region selects, bool (height, width); it may be nothing."""
    try:
        found = client.segment_region(png(picture), where)
    except EmptyRegion:
        return np.zeros(picture.shape[:2], bool)
    return opened(client, found.region.mask) > 127


def iou(one: np.ndarray, other: np.ndarray) -> float:
    return float((one & other).sum() / (one | other).sum())


def made(client: intarsia.Client, before: np.ndarray, job: intarsia.Job) -> np.ndarray:
    """The picture of a finished job. Nothing outside the region that was found has changed."""
    result = job.result(timeout=180)
    after, mask = opened(client, result.picture), opened(client, result.mask)
    np.testing.assert_array_equal(after[mask == 0], before[mask == 0])
    return after


def edited(client: intarsia.Client, questions: list[EditCase], *, grown: float) -> list[Row]:
    """What becomes of things that are clicked on, all at once."""
    jobs = [
        client.edit_region(
            png(question.source.pixels),
            clicked(question.before).grown(grown).feathered(2),
            question.edit.instruction,
            seed=seed,
        )
        for seed, question in enumerate(questions)
    ]
    return [
        figures_of(question, made(client, question.source.pixels, job) / 255)
        for question, job in zip(questions, jobs, strict=True)
    ]


def test_a_phrase_selects_the_right_one_of_four_objects(client: intarsia.Client):
    right = []
    for scene in map(four_things, range(3)):
        picture = draw(scene)
        for place, thing in enumerate(scene.things):
            found = selected(client, picture.pixels, intarsia.words(f"the {thing.words}"))
            each = [iou(found, mask > 0.5) for mask in picture.masks]
            right.append(np.argmax(each) == place and each[place] > 0.7)
    assert len(right) == 12 and sum(right) >= 9


def test_a_colour_that_is_absent_is_not_found(client: intarsia.Client):
    complaints = []
    for scene in map(four_things, range(8)):
        seen = {thing.colour for thing in scene.things}
        phrase = f"{next(name for name in COLOURS if name not in seen)} {scene.things[0].shape}"
        try:
            client.segment_region(png(draw(scene).pixels), intarsia.words(phrase))
        except EmptyRegion as empty:
            assert f"“{phrase}”" in empty.message and float(empty.facts["best_score"]) <= 0.5
            complaints.append(empty)
    assert len(complaints) >= 6


@pytest.mark.parametrize("plot", ["hide", "leave"])
def test_a_clicked_object_is_tracked_although_it_hides_or_leaves(client: intarsia.Client, plot: str):
    walks = [tracking_case(HELD_OUT, plot, index) for index in range(5)]
    asked = [(one, thing) for one in walks for thing in one.things]
    jobs = [
        client.track_region(encode(one.film.pixels), intarsia.click(*one.point(thing).tolist()))
        for one, thing in asked
    ]
    found = []
    for (one, thing), job in zip(asked, jobs, strict=True):
        masks = decode(client.read(job.result(timeout=180).masks)) > 127
        assert masks.shape == one.film.masks[:, thing].shape
        found.append(np.mean(one.overlaps(thing, torch.from_numpy(masks))))
    assert len(found) >= 4 and np.mean(found) > 0.6


def test_make_it_blue_makes_the_clicked_object_blue(client: intarsia.Client):
    questions = [
        asked(scene, place, "blue")
        for scene in map(four_things, range(2))
        for place, thing in enumerate(scene.things)
        if thing.colour != "blue"
    ]
    assert len(questions) >= 6
    assert tally(edited(client, questions, grown=3))["recolour right"] > 0.7


def test_a_removed_object_leaves_the_background(client: intarsia.Client):
    questions = [asked(four_things(index), place, None) for index in range(2) for place in range(4)]
    assert tally(edited(client, questions, grown=5))["remove nearer"] > 0.75


def test_two_regions_of_one_job_each_follow_their_instruction(client: intarsia.Client):
    right = []
    for index in range(3):
        scene = four_things(index)
        seen = {thing.colour for thing in scene.things}
        colours = [colour for colour in COLOURS if colour not in seen][:2]
        first, second = (asked(scene, place, colour) for place, colour in zip((0, 3), colours, strict=True))
        (one, words), further = ((clicked(q.before).grown(3), q.edit.instruction) for q in (first, second))
        job = client.edit_region(png(first.source.pixels), one, words, further=[further], seed=index)
        after = made(client, first.source.pixels, job)
        right += [figures_of(question, after / 255)["recolour right"] for question in (first, second)]
    assert sum(right) >= 5


def test_clicks_correct_a_mask(client: intarsia.Client):
    """A half that lacks the other one, and a thing that has another one beside it."""
    lacking, crowded = [], []
    for scene in map(four_things, range(3)):
        picture = draw(scene)
        first, *_, last = picture.masks > 0.5
        left = first & (np.arange(SIDE) < scene.things[0].x)
        (x, y), beside = deepest_point(first & ~left).tolist(), deepest_point(last).tolist()
        assert iou(left, first) < 0.7
        lacking.append(iou(selected(client, picture.pixels, masked(left).corrected(on=[(x, y)])), first))
        crowd = masked(first | last).corrected(outside=[beside])
        crowded.append(iou(selected(client, picture.pixels, crowd), first))
    assert np.mean(lacking) > 0.8 and np.mean(crowded) > 0.8


def test_holes_in_textured_ground_are_filled_better_than_by_telea(client: intarsia.Client):
    gaps = [gap for gap in fill_measure.gaps(HELD_OUT, 36) if gap.textured][:24]
    assert len(gaps) == 24
    jobs = [
        client.fill_region(
            png(gap.pixels),
            masked(gap.hole).feathered(0),
            fill_measure.WORDS,
            seed=seed,
            steps=fill_measure.STEPS,
            layout="whole",
            margin=0,
        )
        for seed, gap in enumerate(gaps)
    ]
    rows = [
        fill_measure.figures_of(gap, made(client, gap.pixels, job))
        for gap, job in zip(gaps, jobs, strict=True)
    ]
    assert tally(rows)["textured over Telea dB"] > 0.25

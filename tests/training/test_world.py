"""The world: deterministic, its splits apart, its masks true to its pictures."""

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from training.world.address import SPLITS, Address
from training.world.clip import PLOTS, a_clip, film
from training.world.edit import GONE, KINDS, an_edit, some_versions, versions_of
from training.world.ground import paint_ground
from training.world.hole import a_hole, around, roomy
from training.world.hue import COLOURS, HUES, apart, hue_of, nearest, rgb
from training.world.photo import RADII, SIDES, a_photo
from training.world.phrase import phrases
from training.world.scene import Scene, a_scene, draw
from training.world.shape import ROUND, SHAPES
from training.world.thing import a_thing

indices = st.integers(0, 2**40)


@given(indices)
@settings(max_examples=10, deadline=None)
def test_the_same_address_gives_the_same_picture(index):
    one, other = (draw(a_scene(Address("train", "scenes", index))) for _ in range(2))
    assert np.array_equal(one.pixels, other.pixels)
    assert np.array_equal(one.masks, other.masks)


@given(indices, st.sampled_from(["scenes", "edits", "sam"]))
@settings(max_examples=20, deadline=None)
def test_splits_never_share_a_sample(index, stream):
    addresses = [Address(split, stream, index) for split in SPLITS]
    assert len({address.key for address in addresses}) == len(SPLITS)
    grounds = [paint_ground(address).tobytes() for address in addresses]
    assert len(set(grounds)) == len(SPLITS)


def test_the_address_is_the_only_seed_of_a_scene():
    # A scene stands on the ground of its own address; were two splits to draw the same things by
    # chance, their pictures would still differ.
    scene = a_scene(Address("train", "scenes", 3))
    moved = dataclasses.replace(scene, address=Address("test", "scenes", 3))
    assert not np.array_equal(draw(scene).pixels, draw(moved).pixels)


def test_thousands_of_addresses_give_different_generators():
    keys = [
        Address(split, stream, i).rng().integers(2**62)
        for split in SPLITS
        for stream in "ab"
        for i in range(500)
    ]
    assert len(set(keys)) == len(keys)


def test_an_address_outside_the_splits_is_refused():
    with pytest.raises(ValueError, match="no split named"):
        Address("held out", "scenes", 0)


@given(indices)
@settings(max_examples=15, deadline=None)
def test_pixels_outside_all_masks_are_ground(index):
    scene = a_scene(Address("train", "scenes", index))
    picture, bare = draw(scene), draw(Scene(scene.address, ()))
    outside = ~(picture.masks > 0).any(0)
    assert np.array_equal(picture.pixels[outside], bare.pixels[outside])


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("colour", COLOURS)
def test_a_mask_holds_the_named_colour(shape, colour):
    thing = a_thing(
        Address("validation", "one", 0).rng(), shape=shape, colour=colour, x=64.0, y=64.0, radius=30.0
    )
    picture = draw(Scene(Address("validation", "one", 0), (thing,)))
    inside = picture.masks[0] == 1
    hue, saturation = hue_of(picture.pixels[inside].mean(0) / 255)
    assert nearest(hue) == colour
    assert apart(hue, thing.hue) < 5 and saturation > 0.5


def test_masks_never_claim_a_pixel_twice():
    for index in range(30):
        masks = draw(a_scene(Address("validation", "crowd", index), fewest=4)).masks
        assert masks.sum(0).max() <= 1 + 1e-5


def test_named_hues_are_distinct():
    assert all(nearest(hue + shift) == name for name, hue in HUES.items() for shift in (-6, 0, 6))
    assert hue_of(rgb(226.0, 0.8, 0.9))[0] == pytest.approx(226.0, abs=0.1)


def test_scenes_can_be_larger_than_the_unit():
    picture = draw(a_scene(Address("validation", "large", 0), height=192, width=320, radii=(20.0, 60.0)))
    assert picture.pixels.shape == (192, 320, 3) and picture.masks.shape[1:] == (192, 320)


@given(indices)
@settings(max_examples=15, deadline=None)
def test_an_edit_changes_nothing_beyond_its_two_masks(index):
    address = Address("train", "edits", index)
    versions = some_versions(address)
    pictures, edit = versions.pictures(), an_edit(address.rng("edit"), versions.things)
    source, target = pictures[edit.source], pictures[edit.target]
    touched = source.masks[-1] > 0
    if edit.target != GONE:
        touched |= target.masks[-1] > 0
    assert np.array_equal(source.pixels[~touched], target.pixels[~touched])


@pytest.mark.parametrize("kind", KINDS)
def test_an_instruction_says_what_the_edit_does(kind):
    for index in range(40):
        address = Address("train", "edits", index)
        things = some_versions(address).things
        edit = an_edit(address.rng("edit"), things, kind)
        before, after = things[edit.source], things[edit.target]
        words = edit.instruction.split()
        if kind == "remove":
            assert after is None and not set(words) & set(COLOURS) - {before.colour}
        else:
            assert (after.colour != before.colour) == (kind in ("recolour", "replace"))
            assert (after.shape != before.shape) == (kind in ("reshape", "replace"))
            assert after.colour in words or kind == "reshape"
            assert after.shape in words or kind == "recolour"


@given(indices)
@settings(max_examples=12, deadline=None)
def test_a_photo_is_seen_through_the_crop_around_its_region(index):
    photo = a_photo(Address("validation", "photos", index))
    crop, working, whole = photo.crop, photo.working, photo.versions
    assert min(SIDES) <= min(whole.height, whole.width) <= max(whole.height, whole.width) <= max(SIDES)
    assert RADII[0] <= whole.things[0].radius <= RADII[1]
    assert 0 <= crop.left <= photo.region.left and photo.region.right <= crop.right <= whole.width
    assert 0 <= crop.top <= photo.region.top and photo.region.bottom <= crop.bottom <= whole.height
    assert max(working.scaled.width, working.scaled.height) == 128
    pictures = photo.pictures()
    assert pictures[0].pixels.shape[:2] == (crop.height, crop.width)
    assert photo.sheet(pictures[0]).shape == (3, working.height, working.width)
    inside = photo.inside(8)
    assert inside.shape == (working.height // 8, working.width // 8) and inside.any()
    place = len(whole.others)
    assert pictures[0].masks[place].any() and len(pictures[0].masks) == place + 1 + len(whole.front)


def test_the_crop_of_a_photo_is_a_part_of_it():
    photo = a_photo(Address("validation", "photos", 1), size=(150, 200), radii=(10.0, 30.0))
    whole, crop = draw(photo.versions.scene(1)), photo.pictures()[1]
    shown = whole.pixels[photo.crop.window].astype(int)
    # Things that the crop cuts have their unevenness drawn over what is left of them.
    assert np.abs(shown - crop.pixels).max() < 60 and np.abs(shown - crop.pixels).mean() < 1
    place = len(photo.versions.others)
    assert np.array_equal(whole.masks[place][photo.crop.window], crop.masks[place])


def test_what_is_turned_far_is_only_recoloured_or_removed():
    thing = a_thing(Address("train", "one", 0).rng(), shape="star", turn=2.0)
    for index in range(12):
        address = Address("train", "one", index)
        things = versions_of(address.rng("versions"), address, thing, ()).things
        kind = an_edit(address.rng("edit"), things, "reshape").kind
        assert kind == ("reshape" if things[2].shape in ROUND else "recolour")


def test_a_thing_that_is_ever_round_stands_upright():
    for index in range(60):
        things = some_versions(Address("train", "edits", index)).things
        if {things[0].shape, things[2].shape} & set(ROUND):
            assert all(thing.turn == 0 for thing in things if thing)


def test_phrases_name_colour_and_shape():
    thing = a_thing(Address("train", "one", 0).rng(), shape="star", colour="orange")
    assert phrases(thing) == ("orange star", "the orange star", "an orange star")
    assert phrases(thing, colour=False) == ("star", "the star", "a star")


@pytest.mark.parametrize("plot", PLOTS)
def test_a_clip_is_the_same_every_time(plot):
    one, other = (film(a_clip(Address("train", "clips", 5), frames=24, plot=plot)) for _ in range(2))
    assert np.array_equal(one.pixels, other.pixels) and np.array_equal(one.masks, other.masks)


def test_a_hero_that_leaves_is_gone_for_some_frames_and_returns():
    for index in range(12):
        area = film(a_clip(Address("train", "clips", index), frames=24, plot="leave")).masks[:, 0].sum((1, 2))
        assert area[0] > 40 and area[-1] > 40
        assert (area == 0).sum() >= 3


def test_a_hero_that_hides_is_covered_and_seen_again():
    for index in range(12):
        area = film(a_clip(Address("train", "clips", index), frames=24, plot="hide")).masks[:, 0].sum((1, 2))
        assert area[0] > 40 and area[-1] > 40
        assert area.min() < 0.2 * area[0]


def test_frames_can_be_drawn_alone():
    clip = a_clip(Address("train", "clips", 1), frames=8)
    assert np.array_equal(film(clip, [5]).pixels[0], film(clip).pixels[5])


@given(indices)
@settings(max_examples=20, deadline=None)
def test_a_hole_around_a_thing_hides_all_of_it(index):
    versions = some_versions(Address("train", "edits", index))
    mask = versions.pictures()[0].masks[-1]
    rng = versions.address.rng("holes")
    assert around(mask)[mask > 0.3].all()
    assert roomy(rng, mask)[mask > 0.5].mean() > 0.98
    assert 0 < a_hole(rng).mean() < 0.4

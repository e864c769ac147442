"""Batches of pictures with phrases, and the masks of what they name."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.recipes.patch_classes import class_map
from training.world.address import Address
from training.world.hue import COLOURS
from training.world.phrase import phrases
from training.world.scene import a_scene, draw
from training.world.shape import SHAPES
from training.world.thing import Thing, a_thing

_ABSENT = 0.3  # of the phrases are random; most of those name nothing in the picture
_WITH_COLOUR = 0.7


@dataclass(frozen=True)
class PhraseBatch:
    """Pictures (k, h, w, 3) with maps (k, h, w) of `patch_classes`; for each of n phrases the index of its
    picture, and the mask of all that it names, bool (n, h, w)."""

    pixels: np.ndarray
    names: np.ndarray
    phrases: list[str]
    which: np.ndarray
    truth: np.ndarray


def phrase_batch(split: str, step: int, pictures: int, phrases_each: int) -> PhraseBatch:
    """`phrases_each` phrases about each of `pictures` scenes; every fourth step about large, crowded ones."""
    large = step % 4 == 3
    size = {"height": 256, "width": 256, "radii": (16.0, 60.0), "most": 6} if large else {}
    pixels, names, texts, truth = [], [], [], []
    for place in range(pictures):
        address = Address(split, "text large" if large else "text", step * pictures + place)
        scene = a_scene(address, **size)
        picture, rng = draw(scene), address.rng("phrases")
        visible = picture.masks > 0.5
        pixels.append(picture.pixels)
        names.append(class_map(scene.things, visible))
        for _ in range(phrases_each):
            phrase, mask = _phrase(rng, scene.things, visible)
            texts.append(phrase)
            truth.append(mask)
    which = np.repeat(np.arange(pictures), phrases_each)
    return PhraseBatch(np.stack(pixels), np.stack(names), texts, which, np.array(truth, bool))


def _phrase(rng: np.random.Generator, things: tuple[Thing, ...], masks: np.ndarray) -> tuple[str, np.ndarray]:
    """A phrase and the pixels of everything it names."""
    absent = rng.random() < _ABSENT
    named = a_thing(rng) if absent else things[rng.integers(len(things))]
    if absent and rng.random() < 0.5:
        # The hardest case: a thing that is present in another colour, or in another shape.
        near = things[rng.integers(len(things))]
        kept = {"shape": near.shape} if rng.random() < 0.5 else {"colour": near.colour}
        drawn = {"shape": SHAPES[rng.integers(len(SHAPES))], "colour": COLOURS[rng.integers(len(COLOURS))]}
        named = a_thing(rng, **{**drawn, **kept})
    colour = absent or rng.random() < _WITH_COLOUR
    forms = phrases(named, colour=colour)
    matches = [t.shape == named.shape and (t.colour == named.colour or not colour) for t in things]
    return forms[rng.integers(len(forms))], masks[matches].any(0)

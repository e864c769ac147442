"""Phrases asked of pictures, and where the things they name are."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from training.recipes.text_sight import named as names_of
from training.world.address import Address
from training.world.hue import COLOURS
from training.world.phrase import phrases
from training.world.scene import a_scene, draw
from training.world.shape import SHAPES
from training.world.thing import Thing, a_thing

_ABSENT = 0.3  # of the phrases are drawn at random, and most of those name nothing in the picture
_WITH_COLOUR = 0.7


@dataclass(frozen=True)
class Asked:
    """Pictures (k, h, w, 3) and what lies where (k, h, w) as numbers of `text_sight`; for each of n phrases
    its picture, and all it names there, bool (n, h, w)."""

    pixels: np.ndarray
    names: np.ndarray
    phrases: list[str]
    which: np.ndarray
    truth: np.ndarray


def ask(split: str, step: int, pictures: int, questions: int) -> Asked:
    """`questions` phrases about each of `pictures` scenes; every fourth step about large, crowded ones."""
    large = step % 4 == 3
    size = {"height": 256, "width": 256, "radii": (16.0, 60.0), "most": 6} if large else {}
    pixels, names, said, truth = [], [], [], []
    for place in range(pictures):
        address = Address(split, "text large" if large else "text", step * pictures + place)
        scene = a_scene(address, **size)
        picture, dice = draw(scene), address.dice("phrases")
        visible = picture.masks > 0.5
        pixels.append(picture.pixels)
        names.append(names_of(scene.things, visible))
        for _ in range(questions):
            phrase, mask = _question(dice, scene.things, visible)
            said.append(phrase)
            truth.append(mask)
    which = np.repeat(np.arange(pictures), questions)
    return Asked(np.stack(pixels), np.stack(names), said, which, np.array(truth, bool))


def _question(
    dice: np.random.Generator, things: tuple[Thing, ...], masks: np.ndarray
) -> tuple[str, np.ndarray]:
    """A phrase and the pixels of everything it names."""
    absent = dice.random() < _ABSENT
    named = a_thing(dice) if absent else things[dice.integers(len(things))]
    if absent and dice.random() < 0.5:
        # The hardest to leave alone: a thing that is there but for its colour, or but for its shape.
        near = things[dice.integers(len(things))]
        kept = {"shape": near.shape} if dice.random() < 0.5 else {"colour": near.colour}
        drawn = {"shape": SHAPES[dice.integers(len(SHAPES))], "colour": COLOURS[dice.integers(len(COLOURS))]}
        named = a_thing(dice, **{**drawn, **kept})
    colour = absent or dice.random() < _WITH_COLOUR
    forms = phrases(named, colour=colour)
    matches = [t.shape == named.shape and (t.colour == named.colour or not colour) for t in things]
    return forms[dice.integers(len(forms))], masks[matches].any(0)

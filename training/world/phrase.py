"""Words: phrases that name things, and instructions that name edits."""

from __future__ import annotations

import numpy as np

from training.world.thing import Thing

_RECOLOUR = (
    "make {it} {colour}",
    "turn {it} {colour}",
    "paint {it} {colour}",
    "color {it} {colour}",
    "recolor {it} {colour}",
    "change the color of {it} to {colour}",
)
_BECOME = ("turn {it} into {new}", "make {it} {new}", "change {it} to {new}", "change {it} into {new}")
_REPLACE = (*_BECOME, "replace {it} with {new}")
_REMOVE = ("remove {it}", "delete {it}", "erase {it}", "take {it} away", "take away {it}", "get rid of {it}")


def with_article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def phrases(thing: Thing, *, colour: bool = True) -> tuple[str, ...]:
    """Ways to name a thing, with its colour or by its shape alone."""
    words = thing.words if colour else thing.shape
    return words, f"the {words}", with_article(words)


def instruction(rng: np.random.Generator, before: Thing, after: Thing | None) -> str:
    """One way to ask for `before` to become `after`, or to go (None)."""
    it = ("it", f"the {before.shape}", f"the {before.words}")[rng.integers(3)]
    if after is None:
        forms, new = _REMOVE, ""
    elif after.shape == before.shape:
        forms, new = _RECOLOUR, ""
    elif after.colour == before.colour:
        forms, new = _BECOME, with_article(after.shape)
    else:
        forms, new = _REPLACE, with_article(after.words)
    form = forms[rng.integers(len(forms))]
    return form.format(it=it, new=new, colour=after.colour if after else "")

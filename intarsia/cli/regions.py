"""Saying where, in options.

They are read in the order in which they are said: `--plus`, `--minus` and `--within` begin a further region,
to which everything belongs that follows, but for what is said of all regions together.
"""

from __future__ import annotations

import argparse
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import intarsia
from intarsia.cli.usage import Said, Spoken, Usage, choice, corners, numbers, picture, split, whole
from intarsia.region import POLARITIES, Region

SELECTORS = ("click", "box", "rectangle", "polygon", "mask", "words")
OPERATIONS: Mapping[str, Callable[[Region, Region], Region]] = {
    "plus": operator.or_,
    "minus": operator.sub,
    "within": operator.and_,
}
# What may be said more than once of a region, and what is said of all regions together.
REPEATABLE = ("click", "not_click", "not_words", "not_at", "correct", "correct_not")
OF_ALL = ("relative", "feather")
# What means something beside another option only.
BELONGS = {
    "not_click": "click",
    "inside": "mask",
    "mask_threshold": "mask",
    "fit_mask": "mask",
    "threshold": "words",
    "not_words": "words",
    "not_at": "words",
}
SHAPE = ("choose", "correct", "correct_not", "fill_holes", "grow", "shrink", "invert")
OPTIONS = {*SELECTORS, *OPERATIONS, *OF_ALL, *BELONGS, *SHAPE}


def add_options(command: argparse.ArgumentParser) -> None:
    where = partial(_group(command, "the region: how it is found (one of these)"), action=Said)
    point, edges = numbers(2, "120,80"), numbers(4, "10,10,90,60")
    where("--click", metavar="X,Y", type=point, help="on the thing (repeatable)")
    where("--not-click", metavar="X,Y", type=point, help="beside the thing (repeatable)")
    where("--box", metavar="L,T,R,B", type=edges, help="the thing inside this box")
    where("--rectangle", metavar="L,T,R,B", type=edges, help="this rectangle itself")
    where("--polygon", metavar='"X,Y X,Y ..."', type=corners, help="inside this outline")
    where("--mask", metavar="FILE", type=picture, help="what this mask picture says")
    where("--inside", choices=tuple(POLARITIES), help="what belongs to the region in the mask")
    where("--mask-threshold", metavar="T", type=float, help="from here on wholly inside, below outside")
    where("--fit-mask", nargs=0, help="bring a mask of another size to that of the picture")
    where("--words", metavar="PHRASE", help='the thing of this name, "yellow dress"')
    where("--threshold", metavar="T", type=float, help="drop candidates of --words below this")
    where("--not-words", metavar="PHRASE", help="not a thing of this name (repeatable)")
    where("--not-at", metavar="X,Y", type=point, help="not a thing that lies here (repeatable)")
    where("--relative", nargs=0, help="all coordinates are fractions of the picture")
    shape = partial(_group(command, "the region: once it is found (in this order)"), action=Said)
    shape("--choose", metavar="WHICH", type=choice, help="best (default), all, a number from 0, nearest:X,Y")
    shape("--correct", metavar="X,Y", type=point, help="add what lies here to it (repeatable)")
    shape("--correct-not", metavar="X,Y", type=point, help="take what lies here from it (repeatable)")
    shape("--fill-holes", metavar="N", type=whole, help="fill holes of at most N pixels")
    shape("--grow", metavar="PX", type=float, help="move the outline outward")
    shape("--shrink", metavar="PX", type=float, help="move the outline inward")
    shape("--invert", nargs=0, help="everything but the selection")
    shape("--feather", metavar="PX", type=float, help="soften the border of all inward (default: 8)")
    more = partial(_group(command, "further regions: each with options like those above"), action=Said)
    more("--plus", nargs=0, help="add what the options after this find")
    more("--minus", nargs=0, help="take it away")
    more("--within", nargs=0, help="keep only what lies in it as well")


def region(said: Iterable[Spoken], *, masked: bool = False) -> Region:
    """The region that these options describe, in the order in which they were said; others do not matter.

    `masked`: where `--inside` comes without `--mask`, the mask is the one that each picture has of its own.
    """
    known = [each for each in said if each[0] in OPTIONS]
    first, *further = split((each for each in known if each[0] not in OF_ALL), *OPERATIONS)
    if further and not first[1]:
        name = further[0][0]
        raise Usage(f"--{name}: say a region before it, e.g. --box 10,10,90,60 --{name} --click 120,80")
    found = _one(*first, masked)
    for name, one in further:
        found = OPERATIONS[name](found, _one(name, one, masked))
    feathers = [value for name, value in known if name == "feather"]
    if len(feathers) > 1:
        raise Usage("--feather: all regions together have one border to soften; keep one of them")
    if any(name == "relative" for name, _ in known):
        found = found.relative()
    return found.feathered(feathers[0]) if feathers else found


def parts(said: Sequence[Spoken]) -> list[list[Spoken]]:
    """What was said of each edit: `--then` begins a further one. Fractions are meant by all or by none."""
    relative = [each for each in said if each[0] == "relative"]
    return [[*part, *relative] for _, part in split(said, "then")]


def masks(said: Iterable[Spoken]) -> tuple[str, ...]:
    """The mask pictures that are named."""
    return tuple(value for name, value in said if name == "mask")


def _one(operation: str, said: Iterable[Spoken], masked: bool) -> Region:
    """One of the regions that are put together; `operation` is the option it follows, empty for the first."""
    options: dict[str, list[Any]] = {}
    for name, value in said:
        options.setdefault(name, []).append(value)
        if len(options[name]) > 1 and name not in REPEATABLE:
            raise Usage(f"{_option(name)} is said twice of one region; keep one, or put --plus between them")
    found = _selected(operation, options, masked)
    for which in options.get("choose", ()):
        found = found.nearest(*which) if isinstance(which, tuple) else found.choosing(which)
    found = found.corrected(on=options.get("correct", ()), beside=options.get("correct_not", ()))
    for name, shaped in (("fill_holes", Region.filled), ("grow", Region.grown), ("shrink", Region.shrunk)):
        for value in options.get(name, ()):
            found = shaped(found, value)
    return found.inverted() if "invert" in options else found


def _selected(operation: str, options: Mapping[str, list[Any]], masked: bool) -> Region:
    given = [name for name in SELECTORS if name in options]
    own = masked and not given and "inside" in options  # each picture's own mask
    if len(given) > 1:
        one, other = _option(given[0]), _option(given[1])
        raise Usage(f"{one} and {other} exclude each other; keep one, or put --plus between them")
    for extra, needs in BELONGS.items():
        if extra in options and given != [needs] and not (own and needs == "mask"):
            raise Usage(f"{_option(extra)} belongs to {_option(needs)}; add it, or leave this out")
    if not (given or own):
        known = ", ".join(_option(name) for name in SELECTORS)
        before = [_option(operation)] if operation else []
        where, example = " after ".join(["say where", *before]), " ".join([*before, "--click 120,80"])
        raise Usage(f"{where}: one of {known}, e.g. {example}")
    value: Any = options[given[0]][0] if given else None
    if "click" in options:
        return intarsia.clicks(*options["click"], beside=options.get("not_click", ()))
    if "box" in options:
        return intarsia.box(*value)
    if "rectangle" in options:
        return intarsia.rectangle(*value)
    if "polygon" in options:
        return intarsia.polygon(*value)
    if "words" in options:
        (threshold,) = options.get("threshold", [None])
        not_words, not_at = options.get("not_words", ()), options.get("not_at", ())
        return intarsia.words(value, threshold=threshold, not_words=not_words, not_at=not_at)
    if "inside" not in options:
        raise Usage(f"--mask needs --inside, which says what belongs to the region: {', '.join(POLARITIES)}")
    (inside,), (threshold,) = options["inside"], options.get("mask_threshold", [None])
    return intarsia.mask(value, inside=inside, threshold=threshold, fit="fit_mask" in options)


def _group(command: argparse.ArgumentParser, title: str) -> Callable[..., Any]:
    return command.add_argument_group(title).add_argument


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

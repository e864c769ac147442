"""The options of a region.

Their order counts: `--plus`, `--minus` and `--within` begin a further region, and the options after one of
them belong to that region, except those for all regions together.
"""

from __future__ import annotations

import argparse
import operator
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import partial
from typing import Any

import intarsia
from intarsia.cli.usage import (
    OptionValue,
    OrderedOption,
    Usage,
    choice,
    corners,
    numbers,
    split,
    stored_or_file,
    whole,
)
from intarsia.region import POLARITIES, Region

SELECTORS = ("click", "box", "rectangle", "polygon", "mask", "words")
OPERATIONS: Mapping[str, Callable[[Region, Region], Region]] = {
    "plus": operator.or_,
    "minus": operator.sub,
    "within": operator.and_,
}
# Options that may be repeated for one region, and options for all regions together.
REPEATABLE = ("click", "not_click", "not_words", "not_at", "correct", "correct_not")
COMMON = ("relative", "feather")
# Options that need another option.
REQUIRES = {
    "not_click": "click",
    "inside": "mask",
    "mask_threshold": "mask",
    "fit_mask": "mask",
    "threshold": "words",
    "not_words": "words",
    "not_at": "words",
}
SHAPE = ("choose", "correct", "correct_not", "fill_holes", "grow", "shrink", "invert")
OPTIONS = {*SELECTORS, *OPERATIONS, *COMMON, *REQUIRES, *SHAPE}


def add_options(command: argparse.ArgumentParser) -> None:
    select = partial(_group(command, "how the region is found (one of these)"), action=OrderedOption)
    point, edges = numbers(2, "120,80"), numbers(4, "10,10,90,60")
    select("--click", metavar="X,Y", type=point, help="the object at this point (repeatable)")
    select("--not-click", metavar="X,Y", type=point, help="a point outside the object (repeatable)")
    select("--box", metavar="L,T,R,B", type=edges, help="the object in this box")
    select("--rectangle", metavar="L,T,R,B", type=edges, help="this rectangle itself")
    select("--polygon", metavar='"X,Y X,Y ..."', type=corners, help="the inside of this outline")
    select("--mask", metavar="FILE", type=stored_or_file, help="the area of this mask picture")
    select("--inside", choices=tuple(POLARITIES), help="the part of the mask that is the region")
    select("--mask-threshold", metavar="T", type=float, help="values from T are inside, lower ones outside")
    select("--fit-mask", nargs=0, help="resize a mask to the size of the picture")
    select("--words", metavar="PHRASE", help='the object of this name, "yellow dress"')
    select("--threshold", metavar="T", type=float, help="ignore candidates of --words with a lower score")
    select("--not-words", metavar="PHRASE", help="exclude objects of this name (repeatable)")
    select("--not-at", metavar="X,Y", type=point, help="exclude objects at this point (repeatable)")
    select("--relative", nargs=0, help="all coordinates are fractions of the picture")
    shape = partial(_group(command, "what is done with it then (in this order)"), action=OrderedOption)
    shape("--choose", metavar="WHICH", type=choice, help="best (default), all, a number from 0, nearest:X,Y")
    shape("--correct", metavar="X,Y", type=point, help="add what is at this point (repeatable)")
    shape("--correct-not", metavar="X,Y", type=point, help="remove what is at this point (repeatable)")
    shape("--fill-holes", metavar="N", type=whole, help="fill holes of at most N pixels")
    shape(
        "--grow",
        metavar="PX",
        type=float,
        help="move the outline outward (default: enough that no rim of a thing that a model found stays)",
    )
    shape("--shrink", metavar="PX", type=float, help="move the outline inward")
    shape("--invert", nargs=0, help="everything except the selection")
    shape(
        "--feather",
        metavar="PX",
        type=float,
        help="soften the border of all regions, inward (default: 1 to 8)",
    )
    more = partial(_group(command, "further regions, each with the options above"), action=OrderedOption)
    more("--plus", nargs=0, help="add the region of the options that follow")
    more("--minus", nargs=0, help="subtract it")
    more("--within", nargs=0, help="keep only what lies in it too")


def region(values: Iterable[OptionValue], *, masked: bool = False) -> Region:
    """The region that these options describe; options of other things are ignored.

    `masked`: `--inside` without `--mask` means each picture's own mask.
    """
    known = [each for each in values if each[0] in OPTIONS]
    first, *further = split((each for each in known if each[0] not in COMMON), *OPERATIONS)
    if further and not first[1]:
        name = further[0][0]
        raise Usage(f"--{name}: needs a region before it, e.g. --box 10,10,90,60 --{name} --click 120,80")
    found = _build(*first, masked)
    for name, one in further:
        found = OPERATIONS[name](found, _build(name, one, masked))
    feathers = [value for name, value in known if name == "feather"]
    if len(feathers) > 1:
        raise Usage("--feather: option given twice; all regions together have one border")
    if any(name == "relative" for name, _ in known):
        found = found.relative()
    return found.feathered(feathers[0]) if feathers else found


def parts(values: Sequence[OptionValue]) -> list[list[OptionValue]]:
    """The options of each edit: `--then` begins a further one. `--relative` counts for all of them."""
    relative = [each for each in values if each[0] == "relative"]
    return [[*part, *relative] for _, part in split(values, "then")]


def masks(values: Iterable[OptionValue]) -> tuple[str, ...]:
    """The mask pictures among the options."""
    return tuple(value for name, value in values if name == "mask")


def _build(operation: str, values: Iterable[OptionValue], masked: bool) -> Region:
    """One of the combined regions; `operation` is the option before it, empty for the first."""
    options: dict[str, list[Any]] = {}
    for name, value in values:
        options.setdefault(name, []).append(value)
        if len(options[name]) > 1 and name not in REPEATABLE:
            raise Usage(f"{_option(name)}: option given twice for one region; put --plus between two regions")
    found = _selected(operation, options, masked)
    for which in options.get("choose", ()):
        found = found.nearest(*which) if isinstance(which, tuple) else found.choosing(which)
    found = found.corrected(on=options.get("correct", ()), outside=options.get("correct_not", ()))
    for name, shaped in (("fill_holes", Region.filled), ("grow", Region.grown), ("shrink", Region.shrunk)):
        for value in options.get(name, ()):
            found = shaped(found, value)
    return found.inverted() if "invert" in options else found


def _selected(operation: str, options: Mapping[str, list[Any]], masked: bool) -> Region:
    selectors = [name for name in SELECTORS if name in options]
    own = masked and not selectors and "inside" in options  # each picture's own mask
    if len(selectors) > 1:
        one, other = _option(selectors[0]), _option(selectors[1])
        raise Usage(f"{one} and {other} exclude each other; put --plus between two regions")
    for extra, needs in REQUIRES.items():
        if extra in options and selectors != [needs] and not (own and needs == "mask"):
            raise Usage(f"{_option(extra)} needs {_option(needs)}; add it, or leave this out")
    if not (selectors or own):
        known = ", ".join(_option(name) for name in SELECTORS)
        before = [_option(operation)] if operation else []
        where, example = " after ".join(["name a region", *before]), " ".join([*before, "--click 120,80"])
        raise Usage(f"{where}: one of {known}, e.g. {example}")
    value: Any = options[selectors[0]][0] if selectors else None
    if "click" in options:
        return intarsia.clicks(*options["click"], outside=options.get("not_click", ()))
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
        raise Usage(
            f"--mask needs --inside, the part of the mask that is the region: {', '.join(POLARITIES)}"
        )
    (inside,), (threshold,) = options["inside"], options.get("mask_threshold", [None])
    return intarsia.mask(value, inside=inside, threshold=threshold, fit="fit_mask" in options)


def _group(command: argparse.ArgumentParser, title: str) -> Callable[..., Any]:
    return command.add_argument_group(title).add_argument


def _option(name: str) -> str:
    return f"--{name.replace('_', '-')}"

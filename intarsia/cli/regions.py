"""Saying where, in options."""

from __future__ import annotations

import argparse

import intarsia
from intarsia.cli.usage import Usage, choice, corners, numbers, picture, whole
from intarsia.region import POLARITIES, Region

SELECTORS = ("click", "box", "rectangle", "polygon", "mask", "words")


def add_options(command: argparse.ArgumentParser) -> None:
    where = command.add_argument_group("the region: how it is found (one of these)")
    point, edges = numbers(2, "120,80"), numbers(4, "10,10,90,60")
    where.add_argument(
        "--click", metavar="X,Y", type=point, action="append", help="on the thing (repeatable)"
    )
    where.add_argument(
        "--not-click", metavar="X,Y", type=point, action="append", help="beside the thing (repeatable)"
    )
    where.add_argument("--box", metavar="L,T,R,B", type=edges, help="the thing inside this box")
    where.add_argument("--rectangle", metavar="L,T,R,B", type=edges, help="this rectangle itself")
    where.add_argument("--polygon", metavar='"X,Y X,Y ..."', type=corners, help="inside this outline")
    where.add_argument("--mask", metavar="FILE", type=picture, help="what this mask picture says")
    where.add_argument("--inside", choices=tuple(POLARITIES), help="what belongs to the region in the mask")
    where.add_argument("--words", metavar="PHRASE", help='the thing of this name, "yellow dress"')
    where.add_argument("--threshold", metavar="T", type=float, help="drop candidates of --words below this")
    where.add_argument("--relative", action="store_true", help="coordinates are fractions of the picture")
    shape = command.add_argument_group("the region: once it is found (in this order)")
    shape.add_argument(
        "--choose", metavar="WHICH", type=choice, help="best (default), all, a number from 0, nearest:X,Y"
    )
    shape.add_argument("--fill-holes", metavar="N", type=whole, help="fill holes of at most N pixels")
    shape.add_argument("--grow", metavar="PX", type=float, help="move the outline outward")
    shape.add_argument("--shrink", metavar="PX", type=float, help="move the outline inward")
    shape.add_argument("--invert", action="store_true", help="everything but the selection")
    shape.add_argument("--feather", metavar="PX", type=float, help="soften the border inward (default: 8)")


def region(options: argparse.Namespace) -> Region:
    """The region that the options describe."""
    found = _selected(options)
    if options.relative:
        found = found.relative()
    if isinstance(options.choose, tuple):
        found = found.nearest(*options.choose)
    elif options.choose is not None:
        found = found.choosing(options.choose)
    if options.fill_holes is not None:
        found = found.filled(options.fill_holes)
    if options.grow is not None:
        found = found.grown(options.grow)
    if options.shrink is not None:
        found = found.shrunk(options.shrink)
    if options.invert:
        found = found.inverted()
    if options.feather is not None:
        found = found.feathered(options.feather)
    return found


def _selected(options: argparse.Namespace) -> Region:
    given = [name for name in SELECTORS if getattr(options, name) is not None]
    if not given:
        raise Usage(f"say where: one of {', '.join(f'--{name}' for name in SELECTORS)}, e.g. --click 120,80")
    if len(given) > 1:
        raise Usage(f"--{given[0]} and --{given[1]} exclude each other; keep one")
    for extra, needs in (("not_click", "click"), ("inside", "mask"), ("threshold", "words")):
        if getattr(options, extra) is not None and given != [needs]:
            raise Usage(f"--{extra.replace('_', '-')} belongs to --{needs}; add it, or leave this out")
    if options.click:
        return intarsia.clicks(*options.click, beside=options.not_click or ())
    if options.box:
        return intarsia.box(*options.box)
    if options.rectangle:
        return intarsia.rectangle(*options.rectangle)
    if options.polygon is not None:
        return intarsia.polygon(*options.polygon)
    if options.words is not None:
        return intarsia.words(options.words, threshold=options.threshold)
    if options.inside is None:
        raise Usage(f"--mask needs --inside, which says what belongs to the region: {', '.join(POLARITIES)}")
    return intarsia.mask(options.mask, inside=options.inside)

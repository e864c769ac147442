"""Pairs: which mask belongs to which picture, and what cannot be told.

A picture is called by its path without the ending, upper and lower case kept apart. Two files of one name
are never guessed between: both are left out, and listed.
"""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import Any

from intarsia.folder.scan import Scan

RELATIVE, STEM = "relative", "stem"
POLICIES = (RELATIVE, STEM)


@dataclass(frozen=True, slots=True)
class Item:
    """A picture to be worked on. Paths are relative to their folders, with `/` between the parts."""

    name: str  # the picture's path without its ending; so will its results be called
    picture: str
    mask: str | None = None


@dataclass(frozen=True)
class Pairs:
    """What there is to do, by name, and what is left out."""

    items: list[Item]
    orphans: dict[str, list[str]] = field(default_factory=dict)  # "pictures" without mask, "masks" without…
    duplicates: list[dict[str, Any]] = field(default_factory=list)  # {"name", "pictures", "masks"}
    clashes: list[dict[str, str]] = field(default_factory=list)  # {"name", "with"}
    unread: dict[str, dict[str, str]] = field(default_factory=dict)  # "pictures", "masks": {path: why}


def pair(
    pictures: Scan, masks: Scan | None = None, *, by: str = RELATIVE, endings: Collection[str] = ()
) -> Pairs:
    """Pairs pictures and masks by their path without the ending, or (`"stem"`) by its last part alone.

    `endings` are what an item's further results will be called, after its own name: `_2`, `_mask`. Items
    whose results would be files of the same name are left out.
    """
    shown, masking = _by_key(pictures.files, by), _by_key(masks.files if masks else (), by)
    items, orphans, duplicates = [], {"pictures": list[str](), "masks": list[str]()}, []
    for key in sorted(shown.keys() | masking.keys()):
        here, there = shown.get(key, []), masking.get(key, [])
        if len(here) > 1 or len(there) > 1:
            duplicates.append({"name": key, "pictures": here, "masks": there})
        elif masks is None:
            items.append(Item(_bare(here[0]), here[0]))
        elif here and there:
            items.append(Item(_bare(here[0]), here[0], there[0]))
        else:
            orphans["pictures"] += here
            orphans["masks"] += there
    items.sort(key=lambda item: item.name)
    unread = {"pictures": pictures.unread, "masks": masks.unread if masks else {}}
    clashes = _clashes(items, endings)
    left_out = {name for clash in clashes for name in (clash["name"], clash["with"])}
    items = [item for item in items if item.name not in left_out]
    return Pairs(items, orphans, duplicates, clashes, unread)


def _bare(path: str) -> str:
    return os.path.splitext(path)[0]


def _by_key(files: Iterable[str], by: str) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for file in files:
        name = _bare(file)
        grouped.setdefault(name if by == RELATIVE else name.rpartition("/")[2], []).append(file)
    return grouped


def _clashes(items: list[Item], endings: Collection[str]) -> list[dict[str, str]]:
    names = {item.name for item in items}
    return [
        {"name": item.name, "with": item.name.removesuffix(ending)}
        for item in items
        for ending in endings
        if item.name.endswith(ending) and item.name.removesuffix(ending) in names
    ]

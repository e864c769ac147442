"""Pairs: which mask belongs to which picture.

A picture's name is its path without the file's ending; case matters. Where two files have the same name,
both are left out and listed.
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
    """A picture to process. Paths are relative to their folders, with `/` between the parts."""

    name: str  # the picture's path without its ending, and the name of its results
    picture: str
    mask: str | None = None


@dataclass(frozen=True)
class Pairs:
    """The items to process, by name, and the files that are left out."""

    items: list[Item]
    orphans: dict[str, list[str]] = field(default_factory=dict)  # "pictures" without mask, "masks" without…
    duplicates: list[dict[str, Any]] = field(default_factory=list)  # {"name", "pictures", "masks"}
    clashes: list[dict[str, str]] = field(default_factory=list)  # {"name", "with"}
    unread: dict[str, dict[str, str]] = field(default_factory=dict)  # "pictures", "masks": {path: why}


def pair(
    pictures: Scan, masks: Scan | None = None, *, by: str = RELATIVE, endings: Collection[str] = ()
) -> Pairs:
    """Pairs pictures and masks by their path without the ending, or (`"stem"`) by its last part alone.

    `endings` are those of an item's further results, after its own name: `_2`, `_mask`. Items whose results
    would be files of the same name are left out.
    """
    by_picture, by_mask = _by_key(pictures.files, by), _by_key(masks.files if masks else (), by)
    items, orphans, duplicates = [], {"pictures": list[str](), "masks": list[str]()}, []
    for key in sorted(by_picture.keys() | by_mask.keys()):
        here, there = by_picture.get(key, []), by_mask.get(key, [])
        if len(here) > 1 or len(there) > 1:
            duplicates.append({"name": key, "pictures": here, "masks": there})
        elif masks is None:
            items.append(Item(_stem(here[0]), here[0]))
        elif here and there:
            items.append(Item(_stem(here[0]), here[0], there[0]))
        else:
            orphans["pictures"] += here
            orphans["masks"] += there
    items.sort(key=lambda item: item.name)
    unread = {"pictures": pictures.unread, "masks": masks.unread if masks else {}}
    clashes = _clashes(items, endings)
    left_out = {name for clash in clashes for name in (clash["name"], clash["with"])}
    items = [item for item in items if item.name not in left_out]
    return Pairs(items, orphans, duplicates, clashes, unread)


def _stem(path: str) -> str:
    return os.path.splitext(path)[0]


def _by_key(files: Iterable[str], by: str) -> dict[str, list[str]]:
    grouped: dict[str, list[str]] = {}
    for file in files:
        name = _stem(file)
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

"""What bundles a folder holds. Reads their cards; imports no network library."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One bundle: name, bytes on disk, classes by part, parameters, commands that made it, figures."""

    name: str
    title: str
    size: int
    classes: dict[str, str]
    parameters: int
    recipe: tuple[str, ...]
    figures: tuple[dict, ...]


def bundles(folder: Path) -> list[Row]:
    """The bundles in a folder that have a card, by name."""
    return [_row(card.parent, json.loads(card.read_text())) for card in sorted(folder.glob("*/card.json"))]


def _row(folder: Path, card: dict) -> Row:
    parts = card["components"]
    return Row(
        name=card["bundle"],
        title=card["title"],
        size=sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()),
        classes={part["name"]: part["class"] for part in parts},
        parameters=sum(part["parameters"] for part in parts),
        recipe=tuple(card["recipe"]),
        figures=tuple(card["figures"]),
    )

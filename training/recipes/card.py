"""Model cards of bundles, for people (README.md) and for programs (card.json)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from safetensors import safe_open

from training.recipes.component import RECORD, read_notes, write_notes
from training.recipes.figure import Figure, table

ABOUT = {
    "ip2p": (
        "Edits by instruction",
        "Recolours, removes, reshapes and replaces the thing that a crop is made around, asked in words like "
        "`make the circle blue` or `turn it into a star`.",
        ("vae", "tokenizer", "ip2p"),
        (
            "Works at 128 pixels, whatever the size of a picture and of the thing in it: sees the crop "
            "around a region, scaled to that.",
            "Knows eight colours and seven shapes. Other words have tokens but no meaning.",
            "The raw output redraws the whole crop through the autoencoder: lay it back under a mask.",
            "Steer gently: 10 steps, guidance 2.0 for the words and 1.2 for the picture.",
        ),
    ),
    "sd2_inpaint": (
        "Fills holes",
        "Fills a masked part of a picture with what is likely behind it (no words, or `background`), or with "
        "a thing that is named (`a red circle`).",
        ("vae", "tokenizer", "ip2p", "sd2_inpaint"),
        (
            "Learnt on pictures of 128 x 128 with holes of up to about a fifth of the picture.",
            "One or two steps give the likeliest filling, more steps a livelier and less exact one.",
            "On plain ground a classical method is better: what is learnt here shows on textures.",
            "With the default guidance of 1 negative words count nothing: ask for 2 where they matter.",
        ),
    ),
    "sam": (
        "Selects and follows",
        "Answers a click, several clicks, a box or a mask with the mask of one thing, and follows it through "
        "a clip in which it moves, hides and returns. Its text head finds what a phrase names.",
        ("sam", "sam_text"),
        (
            "Looks at 256 x 256 pixels, whatever the size of the picture; things under about 10 of those "
            "pixels are lost.",
            "Learnt on pale grounds and saturated things. It has seen no photograph.",
        ),
    ),
}


def write_card(folder: Path, figures: list[Figure], command: str) -> None:
    """Write both forms of the card of a bundle."""
    title, does, recipes, limits = ABOUT[folder.name]
    card = {
        "bundle": folder.name,
        "title": title,
        "does": does,
        "recipe": [f"python -m training.recipes.{name}" for name in recipes],
        "components": list(_components(folder)),
        "figures": [figure.plain() for figure in figures],
        "measured": {"command": command, "split": "test", "precision": "fp16 files, float32 arithmetic"},
        "limits": list(limits),
    }
    write_measured(folder, figures)
    (folder / "card.json").write_text(json.dumps(card, indent=2) + "\n")
    (folder / "README.md").write_text(_page(card, figures))


def write_measured(folder: Path, figures: list[Figure]) -> None:
    """Write figures into the notes of a bundle: by the working sizes they are promised for, and facts."""
    sizes: dict[str, dict[str, float]] = {}
    for figure in figures:
        if figure.side is not None:
            sizes.setdefault(str(figure.side), {})[figure.metric] = round(figure.value, 4)
    facts = {figure.fact: round(figure.value, 4) for figure in figures if figure.fact}
    measured = facts | ({"sizes": sizes} if sizes else {})
    if measured:
        write_notes(folder, {**read_notes(folder), **measured})


def _components(folder: Path) -> Iterator[dict]:
    """Name, class, parameters, bytes and training record of each network in a bundle."""
    for file in sorted(folder.rglob("*.safetensors")):
        part = file.parent
        record = part / RECORD
        with safe_open(file, framework="pt") as tensors:
            sizes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
        yield {
            "name": part.name if part != folder else folder.name,
            "class": _class_of(part),
            "parameters": sum(_product(size) for size in sizes),
            "bytes": file.stat().st_size,
            "training": json.loads(record.read_text()) if record.exists() else {},
        }


def _class_of(part: Path) -> str:
    if (part / "config.yaml").exists():
        return "sam2.modeling.sam2_base.SAM2Base"
    settings = json.loads((part / "config.json").read_text())
    return settings.get("_class_name") or settings["architectures"][0]


def _product(size: list[int]) -> int:
    total = 1
    for side in size:
        total *= side
    return total


def _page(card: dict, figures: list[Figure]) -> str:
    parts = [
        f"| {part['name']} | {part['class']} | {part['parameters'] / 1e6:.2f} M "
        f"| {part['bytes'] / 1e6:.1f} MB | {_training(part['training'])} |"
        for part in card["components"]
    ]
    return "\n".join(
        [
            f"# {card['bundle']}: {card['title'].lower()}",
            "",
            card["does"],
            "",
            "A starter bundle: small networks of the published classes, in the published layout, trained on "
            "the synthetic world of `training/world` and on nothing else. fp16 safetensors; load and run in "
            "float32.",
            "",
            "## Networks",
            "| part | class | parameters | size | training |",
            "|---|---|---|---|---|",
            *parts,
            "",
            "Training again, from nothing:",
            "```",
            *card["recipe"],
            "```",
            "Minutes are wall-clock on one core of a shared two-core machine without GPU.",
            "",
            "## Figures",
            "On the `test` split, which was neither learnt from nor looked at while learning. One training, "
            "one seed: differences of 0.01 in IoU or 0.3 dB mean nothing.",
            "",
            table(figures),
            "",
            *_conditions(figures),
            "```",
            card["measured"]["command"],
            "```",
            "",
            "## Limits",
            *(f"- {limit}" for limit in card["limits"]),
            "",
        ]
    )


def _conditions(figures: list[Figure]) -> list[str]:
    """What the figures were measured on, as lines of a list."""
    named: dict[str, list[str]] = {}
    for figure in figures:
        if figure.conditions:
            named.setdefault(figure.conditions, []).append(figure.metric)
    lines = [f"- Measured on {on}: {'; '.join(metrics)}." for on, metrics in named.items()]
    return [*lines, ""] if lines else []


def _training(record: dict) -> str:
    """Steps and minutes of all trainings of a network."""
    steps, minutes = 0, 0.0
    while record:
        steps, minutes = steps + record["steps"], minutes + record["minutes"]
        record = record.get("earlier", {})
    return f"{steps} steps, {minutes:.0f} min" if steps else ""

"""The rules of `docs/naming.md` that can be checked: names of modules and of classes."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PRODUCT = (
    "canvas",
    "store",
    "intarsia",
    "orchestrator",
    "services",
    "model_repository",
    "training",
    "deploy",
    "benchmarks",
)
GENERATED = ROOT / "intarsia/v1"

# The last word of a module's name must be none of these, except nouns that end like participles and gerunds.
PRONOUN = "its?|that|them|these|this|those|what|which|who|whom|whose"
PARTICIPLE = (
    "begun|bound|brought|built|chosen|cut|done|drawn|found|given|gone|grown|held|kept|known|laid|learnt|left|lent|"
    "lost|made|meant|met|put|read|said|seen|sent|set|shown|spelt|spent|spoken|sought|stood|taken|taught|thought|"
    "told|understood|won|worn|written|[a-z]+ed|[a-z]+ing"
)
NOUN = (
    "blocking|conditioning|denoising|editing|embedding|logging|preprocessing|pricing|sampling|scheduling|seed|"
    "sharing|sighting|speed|string|thing|tracking|training"
)
FAULTY = re.compile(f"(?!({NOUN})$)({PRONOUN}|{PARTICIPLE})")
MOST_TWICE = 15


def modules() -> list[Path]:
    """The product's modules and packages, without what protoc generates."""
    found = [path for tree in PRODUCT for path in sorted((ROOT / tree).rglob("*.py"))]
    return [path for path in found if GENERATED not in path.parents]


def faulty(name: str) -> bool:
    """True if a module's name ends in a participle or a pronoun; a participle before a noun is allowed."""
    return FAULTY.fullmatch(name.rpartition("_")[2]) is not None


def classes() -> dict[str, list[str]]:
    """The files in which each class name is defined."""
    found = defaultdict(list)
    for path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ClassDef):
                found[node.name].append(path.relative_to(ROOT).as_posix())
    return found


def test_no_module_is_a_participle_or_a_pronoun() -> None:
    names = {path.parent if path.name == "__init__.py" else path for path in modules()}
    assert [path.relative_to(ROOT).as_posix() for path in sorted(names) if faulty(path.stem)] == []


def test_few_class_names_stand_twice() -> None:
    twice = {name: places for name, places in classes().items() if len(places) > 1}
    listing = "\n".join(f"{name}: {', '.join(places)}" for name, places in sorted(twice.items()))
    assert len(twice) <= MOST_TWICE, listing


@pytest.mark.parametrize(
    "name",
    ["made", "asked", "picture_sent", "worn", "what", "carrying", "opened", "spelling", "picture_shown"],
)
def test_a_faulty_name_is_found(name: str) -> None:
    assert faulty(name)


@pytest.mark.parametrize("name", ["editing", "tracking", "picture_job", "schedule", "known_keys", "seed"])
def test_a_noun_passes(name: str) -> None:
    assert not faulty(name)

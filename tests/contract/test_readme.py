"""What README and docs say is so: targets, options, tables, variables and links. (Snippets that need a
server are run by `tests/e2e/test_readme.py`.)"""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest

from deploy.local import __main__ as up
from intarsia import cli, errors
from orchestrator.api.status import code_of
from orchestrator.models.registry import MODELS
from services.bundles import cli as weights
from tests.readme import README, ROOT, blocks, is_setup

PAGES = [README, ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").rglob("*.md"))]
SETUP = [command for block in blocks("sh") for command in block.commands if is_setup(command)]


def targets() -> set[str]:
    """What the Makefile can make, as `make help` lists it."""
    return set(re.findall(r"^([a-z-]+):.*## ", (ROOT / "Makefile").read_text(), re.MULTILINE))


def test_every_block_says_what_it_is() -> None:
    """Python and shell are run or checked line by line; drawings have no language; nothing else is here."""
    assert {block.language for block in blocks()} == {"", "sh", "python"}


@pytest.mark.parametrize("command", SETUP)
def test_setup_lines_are_possible(command: str, monkeypatch: pytest.MonkeyPatch) -> None:
    program, *arguments = shlex.split(command)
    if program == "make":
        assert arguments[0] in targets()
    elif program == "pip":
        assert arguments == ["install", "."]
    elif program == ".":
        assert arguments == [".venv/bin/activate"]
    else:
        assert program == "intarsia"
        parser = {"up": up.parser, "weights": weights.parser}[arguments[0]]()
        parser.parse_args(arguments[1:])  # ends this test if an option is unknown


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_targets_named_in_passing_exist(page: Path) -> None:
    named = set(re.findall(r"`make ([a-z-]+)", page.read_text(encoding="utf-8")))
    assert named <= targets()


def test_tests_named_in_passing_exist() -> None:
    named = re.findall(r"ARGS=(tests/[\w/.]+)", README.read_text(encoding="utf-8"))
    assert named and all((ROOT / name).is_file() for name in named)


def table(heading: str) -> list[list[str]]:
    """The cells of the table under a heading row, without backticks."""
    _, _, below = README.read_text(encoding="utf-8").partition(f"{heading}\n")
    rows = []
    for line in below.splitlines():
        if not line.startswith("|"):
            break
        rows.append([cell.strip().strip("`") for cell in line.strip("|").split("|")])
    return rows[1:]  # without the ruler


def test_the_exit_codes_are_those_of_the_command_line() -> None:
    shown = {code: meaning for code, meaning in table("| Exit code | Meaning |")}
    said = dict(re.findall(r"^  (\d+) +(.+)$", cli.EXIT_CODES, re.MULTILINE))
    assert shown == said


def test_the_reasons_are_those_of_the_errors() -> None:
    rows = table("| Reason | Class | Status | Exit code | What to do |")
    shown = {reason: (kind, status, code) for reason, kind, status, code, _ in rows}
    wanted = {
        reason: (kind.__name__, code_of(kind("")).name, str(cli.code_of(kind(""))))
        for reason, kind in errors.classes().items()
    }
    assert shown == wanted


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_variables_are_read_somewhere(page: Path) -> None:
    settings = (ROOT / "orchestrator/settings.py").read_text(encoding="utf-8")
    known = {f"INTARSIA_{name}" for name in re.findall(r'read\("([A-Z_]+)"', settings)}
    known |= {"INTARSIA_TRITON", *(f"INTARSIA_TRITON_{model.upper()}" for model in MODELS)}
    for package in ("intarsia", "services"):
        for module in (ROOT / package).rglob("*.py"):
            known |= set(re.findall(r'"(INTARSIA_[A-Z_]+)"', module.read_text(encoding="utf-8")))
    assert set(re.findall(r"INTARSIA_[A-Z0-9_]*[A-Z0-9]", page.read_text(encoding="utf-8"))) <= known


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_links_lead_somewhere(page: Path) -> None:
    text = re.sub(r"```.*?```", "", page.read_text(encoding="utf-8"), flags=re.DOTALL)
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text):
        target, _, anchor = link.partition("#")
        if re.match(r"[a-z]+:", target):
            continue  # elsewhere in the world
        place = (page.parent / target).resolve() if target else page
        if not place.exists() or (anchor and anchor not in anchors(place)):
            broken.append(link)
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The names by which a page's headings can be linked."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_every_decision_says_question_answer_and_cost() -> None:
    records = sorted((ROOT / "docs/decisions").glob("*.md"))
    assert [record.name[:4] for record in records] == [f"{n:04}" for n in range(1, len(records) + 1)]
    for record in records:
        headings = re.findall(r"^## (.+)$", record.read_text(encoding="utf-8"), re.MULTILINE)
        assert headings == ["Question", "Answer", "What it costs"], record.name

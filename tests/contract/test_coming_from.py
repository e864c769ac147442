"""Every option of ours that `docs/coming-from.md` names is in the help of the command it is named with.

The first column of its tables, and the lines that begin with `Not here`, have options of other programs.
All other code is ours.
"""

from __future__ import annotations

import argparse
import re
from pathlib import Path

import pytest

from intarsia.cli import parser, server_commands

PAGE = Path(__file__).parents[2] / "docs/coming-from.md"
OPTION = re.compile(r"(?<![\w-])--?[a-z][a-z_-]*")


def ours() -> list[str]:
    """The pieces of code on the page that are ours."""
    found = []
    for line in PAGE.read_text(encoding="utf-8").splitlines():
        if line.startswith("|"):
            _, _, line = line.removeprefix("|").partition("|")
        if not line.startswith("Not here"):
            found += re.findall(r"`([^`]+)`", line)
    return found


def options(of: argparse.ArgumentParser) -> dict[str, set[str]]:
    """The options that the help of each command shows, by the command's words."""
    found = {of.prog.removeprefix("intarsia").strip(): set(OPTION.findall(of.format_help()))}
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                found |= options(one)
    return found


COMMANDS = options(parser())
for each in server_commands.parsers().values():
    COMMANDS |= options(each)


def command_of(code: str) -> str:
    """The longest command that the code begins with; empty if it names only options."""
    words = code.removeprefix("intarsia ").split()
    prefixes = (" ".join(words[:count]) for count in range(len(words), 0, -1))
    return next((each for each in prefixes if each in COMMANDS), "")


@pytest.mark.parametrize("code", [code for code in dict.fromkeys(ours()) if OPTION.search(code)])
def test_options_of_ours_are_in_the_help(code: str) -> None:
    command = command_of(code)
    shown = COMMANDS[command] if command else set().union(*COMMANDS.values())
    assert set(OPTION.findall(code)) <= shown


def test_commands_of_ours_exist() -> None:
    named = [code for code in ours() if code.startswith("intarsia ")]
    assert named and [code for code in named if not command_of(code)] == []


def test_the_page_names_every_kind_of_option() -> None:
    """The rules above find what they look for: options by themselves and with their commands."""
    found = ours()
    assert "--shrink (k-1)/2" in found and "intarsia track-region --frames" in found
    assert "--erode-kernel k" not in found and "--ttlg_lr" not in found

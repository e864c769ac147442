"""Parsing options: an error names the option and gives an example of a correct one."""

from __future__ import annotations

import argparse
import re
import sys
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from intarsia.artifacts import is_name
from intarsia.settings import SETTINGS

OptionValue = tuple[str, Any]  # an option's name, as `not_click`, and its value; True for one without


class Usage(Exception):
    """The command line is wrong; nothing has been done."""


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that `--json` can report wrong options too. Options are not abbreviated:
    an abbreviation could change its meaning when a new option is added."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message.removeprefix('argument ')} (`{self.prog} --help` lists the options)")


class OrderedOption(argparse.Action):
    """Appends the option to `ordered`, which holds all options of this kind in their order."""

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, "ordered", **{"default": (), **settings})
        self._name = dest

    def __call__(self, _: object, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.ordered = (*options.ordered, (self._name, True if self.nargs == 0 else value))


def add_setting(group: argparse._ActionsContainer, name: str, **details: Any) -> None:
    """Adds the option of a setting; `details` are arguments of argparse that the table does not know."""
    (setting,) = (each for each in SETTINGS if each.name == name)
    if setting.kind is bool:
        details = {"action": "store_true", **details}
    elif isinstance(setting.kind, Mapping):
        details = {"choices": tuple(setting.kind), **details}
    elif setting.kind is not None:
        details = {"type": whole if setting.kind is int else setting.kind, **details}
    if setting.metavar is not None:
        details["metavar"] = setting.metavar
    group.add_argument(setting.option, dest=name, **{"help": setting.help, **details})


def add_limit(command: argparse.ArgumentParser) -> None:
    """Adds `--limit` to a command that lists something."""
    command.add_argument("--limit", type=whole, default=50, metavar="N", help="at most N (default: 50)")


def split(values: Iterable[OptionValue], *separators: str) -> list[tuple[str, list[OptionValue]]]:
    """Groups of options: those before the first separator, with an empty name, and those after each."""
    groups: list[tuple[str, list[OptionValue]]] = [("", [])]
    for name, value in values:
        if name in separators:
            groups.append((name, []))
        else:
            groups[-1][1].append((name, value))
    return groups


def numbers(count: int, example: str) -> Callable[[str], tuple[float, ...]]:
    """A parser of so many numbers with commas between."""

    def parse(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {count} number{'s' * (count > 1)}; write for example {example}"
            )
        return values

    return parse


def corners(text: str) -> list[tuple[float, ...]]:
    """Points with spaces between."""
    return [numbers(2, "120,80")(point) for point in text.split()]


def choice(text: str) -> str | int | tuple[float, ...]:
    """`best`, `all`, a number from 0, or `nearest:X,Y` as a point."""
    if text in ("best", "all"):
        return text
    if text.startswith("nearest:"):
        return numbers(2, "nearest:120,80")(text.removeprefix("nearest:"))
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(
        f"unknown choice {text!r}; write best, all, a number from 0, or nearest:X,Y"
    )


def stored_or_file(text: str) -> str:
    """An existing file, or an artifact's name."""
    if is_name(text) or Path(text).is_file():
        return text
    raise argparse.ArgumentTypeError(
        f"there is no file {text!r}; name an existing one, or an artifact with all 64 digits"
    )


def input_file(text: str) -> str:
    """An existing file, an artifact's name, or - for standard input."""
    return text if text == "-" else stored_or_file(text)


def source(text: str) -> str | BinaryIO:
    """What the client reads for an input of this name."""
    return sys.stdin.buffer if text == "-" else text


def bind_negative_values(arguments: Iterable[str]) -> list[str]:
    """The arguments, with values such as `-5,10` bound to their options: argparse takes them for options."""
    bound: list[str] = []
    for argument in arguments:
        if re.match(r"-[\d.]", argument) and bound and re.fullmatch(r"--[a-z-]+", bound[-1]):
            bound[-1] += f"={argument}"
        else:
            bound.append(argument)
    return bound


def whole(text: str) -> int:
    """A whole number from 0."""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0; write for example 20")


def level(text: str) -> int:
    """A priority, a whole number."""
    if text.removeprefix("-").isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number; write for example 5 or -5")


def seconds(text: str) -> float:
    """A time in seconds, more than 0."""
    (value,) = numbers(1, "120")(text)
    if 0 < value < 1e9:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is not a time in seconds, more than 0; write for example 120")


def readable(text: str) -> str:
    """An existing file, or - for standard input."""
    if text == "-" or Path(text).is_file():
        return text
    raise argparse.ArgumentTypeError(f"there is no file {text!r}")


def job_name(text: str) -> str:
    return text if text.startswith("jobs/") else f"jobs/{text}"


def artifact_name(text: str) -> str:
    name = text if text.startswith("artifacts/") else f"artifacts/{text}"
    if is_name(name):
        return name
    raise argparse.ArgumentTypeError(
        f"{text!r} is not the name of an artifact; write artifacts/ and all 64 digits"
    )

"""Reading options: what is wrong with one is said by its name, with an example of a right one."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, NoReturn

from intarsia.artifacts import is_name

Spoken = tuple[str, Any]  # an option's name, as `not_click`, and its value; True for one that has none


class Usage(Exception):
    """The command line is wrong; nothing has been done."""


class Parser(argparse.ArgumentParser):
    """Raises instead of exiting, so that `--json` can report wrong options as well; never guesses at
    shortened options, which would change their meaning when new ones arrive."""

    def __init__(self, **settings: object) -> None:
        super().__init__(**{"allow_abbrev": False, **settings})  # type: ignore[arg-type]

    def error(self, message: str) -> NoReturn:
        raise Usage(f"{message.removeprefix('argument ')} (`{self.prog} --help` lists the options)")


class Said(argparse.Action):
    """Keeps options in the order in which they are said, all of them in `said`, as `Spoken`."""

    def __init__(self, option_strings: list[str], dest: str, **settings: Any) -> None:
        super().__init__(option_strings, "said", **{"default": (), **settings})
        self._name = dest

    def __call__(self, _: object, options: argparse.Namespace, value: Any, option: str | None = None) -> None:
        options.said = (*options.said, (self._name, True if self.nargs == 0 else value))


def split(said: Iterable[Spoken], *separators: str) -> list[tuple[str, list[Spoken]]]:
    """What is said before the first of these options, under an empty name, and after each, under its name."""
    groups: list[tuple[str, list[Spoken]]] = [("", [])]
    for name, value in said:
        if name in separators:
            groups.append((name, []))
        else:
            groups[-1][1].append((name, value))
    return groups


def numbers(count: int, example: str) -> Callable[[str], tuple[float, ...]]:
    """A reader of so many numbers with commas between."""

    def read(text: str) -> tuple[float, ...]:
        try:
            values = tuple(float(part) for part in text.split(","))
        except ValueError:
            values = ()
        if len(values) != count:
            raise argparse.ArgumentTypeError(
                f"{text!r} is not {count} number{'s' * (count > 1)}; write for example {example}"
            )
        return values

    return read


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
        f"{text!r} is no choice; write best, all, a number from 0, or nearest:X,Y"
    )


def picture(text: str) -> str:
    """A file that is there, or an artifact's name."""
    if is_name(text) or Path(text).is_file():
        return text
    raise argparse.ArgumentTypeError(
        f"there is no file {text!r}; give one that is, or an artifact's name with all 64 digits"
    )


def whole(text: str) -> int:
    """A number that counts something."""
    if text.isdecimal():
        return int(text)
    raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 0; write for example 20")


def seconds(text: str) -> float:
    """A time that is neither nothing nor endless."""
    (value,) = numbers(1, "120")(text)
    if 0 < value < 1e9:
        return value
    raise argparse.ArgumentTypeError(f"{text!r} is no time in seconds; write for example 120")


def readable(text: str) -> str:
    """A file that is there, or - for standard input."""
    if text == "-" or Path(text).is_file():
        return text
    raise argparse.ArgumentTypeError(f"there is no file {text!r}")


def job_name(text: str) -> str:
    return text if text.startswith("jobs/") else f"jobs/{text}"


def artifact_name(text: str) -> str:
    name = text if text.startswith("artifacts/") else f"artifacts/{text}"
    if is_name(name):
        return name
    raise argparse.ArgumentTypeError(f"{text!r} is no artifact's name; write artifacts/ and all 64 digits")


def writable_or_pipe(
    path: str, *, machine: bool, inputs: tuple[str | None, ...] = (), force: bool = False
) -> Path:
    """What `-o` names: a file to write to, or - for standard output, unless a `machine` reads that."""
    if path == "-" and machine:
        raise Usage("-o/--output: with --json, standard output is taken; name a file")
    return Path("-") if path == "-" else writable("--output", path, inputs=inputs, force=force)


def writable(option: str, path: str, *, inputs: tuple[str | None, ...] = (), force: bool = False) -> Path:
    """A file to write to: found out before any work is done, and never one of the inputs by accident."""
    target = Path(path)
    if path == "-":
        raise Usage(f"{option}: this does not go to standard output; name a file")
    if target.is_dir():
        raise Usage(f"{option}: {path!r} is a folder; name a file in it")
    if not target.parent.is_dir():
        raise Usage(f"{option}: the folder {str(target.parent)!r} does not exist; create it first")
    if not force and target.exists():
        for source in inputs:
            if source is not None and Path(source).exists() and target.samefile(source):
                raise Usage(f"{option}: {path!r} is the input itself; name another file, or add --force")
    return target

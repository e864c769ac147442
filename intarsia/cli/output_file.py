"""Files that a command writes: checked, and their folders made, before any work is done."""

from __future__ import annotations

import argparse
from pathlib import Path

from intarsia.cli.usage import Usage


def add_options(command: argparse.ArgumentParser, *, inputs: bool = True) -> None:
    """Adds what says which files may be replaced; `--force` only for a command with `inputs`."""
    group = command.add_mutually_exclusive_group()
    if inputs:
        group.add_argument("--force", action="store_true", help="allow to overwrite the input itself")
    group.add_argument("--no-clobber", action="store_true", help="never overwrite a file that exists")


def writable_or_pipe(path: str, options: argparse.Namespace, *, inputs: tuple[str, ...] = ()) -> Path:
    """The file that `-o` names, or - for standard output, unless `--json` goes there."""
    if path == "-" and options.json:
        raise Usage("-o/--output: standard output is taken by --json; name a file")
    return Path("-") if path == "-" else writable("--output", path, options, inputs=inputs)


def writable(option: str, path: str, options: argparse.Namespace, *, inputs: tuple[str, ...] = ()) -> Path:
    """A file that may be written, in a folder that is there now; none of the inputs, unless `--force`."""
    target = Path(path)
    if path == "-":
        raise Usage(f"{option}: cannot be written to standard output; name a file")
    if target.is_dir():
        raise Usage(f"{option}: {path!r} is a folder; name a file in it")
    check_replaced(option, target, options, inputs=inputs)
    make_folder(option, target.parent)
    return target


def check_replaced(
    option: str, target: Path, options: argparse.Namespace, *, inputs: tuple[str, ...] = ()
) -> None:
    """Raises `Usage` if the file exists and the options do not allow to replace it."""
    if not target.exists():
        return
    if options.no_clobber:
        raise Usage(f"{option}: {str(target)!r} exists; name another file, or leave out --no-clobber")
    if getattr(options, "force", False):
        return
    for source in inputs:
        if Path(source).exists() and target.samefile(source):
            raise Usage(f"{option}: {str(target)!r} is the input itself; name another file, or add --force")


def make_folder(option: str, folder: Path) -> None:
    """Makes a folder and those above it, unless they are there."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise Usage(f"{option}: the folder {str(folder)!r} cannot be made: {error.strerror}") from None

"""`intarsia up` and `intarsia weights`: commands of the server, which the client alone does not have."""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from typing import Any

# Command: the module of its `main(argv)`, and its help.
COMMANDS = {
    "up": ("deploy.local.__main__", "start the whole stack on this machine, until Ctrl-C"),
    "weights": ("services.bundles.cli", "fetch, convert, verify or list weights"),
}


def add_to(commands: Any) -> None:
    """Adds the commands to the list in the help; their modules parse their options."""
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)


def parsers() -> dict[str, argparse.ArgumentParser]:
    """The parsers of the commands, if they are installed."""
    try:
        return {name: import_module(home).parser() for name, (home, _) in COMMANDS.items()}
    except ModuleNotFoundError:
        return {}


def run(command: str, *arguments: str) -> int:
    """Runs a command of the server; exit code 2 if it is not installed."""
    home, _ = COMMANDS[command]
    try:
        module = import_module(home)
    except ModuleNotFoundError as error:
        ours = error.name is not None and f"{home}.".startswith(f"{error.name}.")
        what = "the server's packages, which are not part of the client" if ours else f"{error.name}"
        print(
            f"intarsia: `intarsia {command}` needs {what}; run `make demo` once in a checkout of Intarsia, "
            f"then `.venv/bin/intarsia {command}` there",
            file=sys.stderr,
        )
        return 2
    code = module.main(list(arguments)) or 0
    sys.stdout.flush()  # now, not at the end of the process: the caller handles a pipe that is closed
    return code

"""`intarsia up` and `intarsia weights`: commands of the serving tree, which a light client lacks."""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any

# Command: where its `main(argv)` lives, and what it does.
COMMANDS = {
    "up": ("deploy.local.__main__", "start the whole stack on this machine, until Ctrl-C"),
    "weights": ("services.bundles.cli", "list, verify or convert weights"),
}


def add_to(commands: Any) -> None:
    """For the list of commands only; their options are their own."""
    for name, (_, text) in COMMANDS.items():
        commands.add_parser(name, help=text, add_help=False)


def run(command: str, *arguments: str) -> int:
    """Hands over to the serving tree; exit code 2 if it is not installed here."""
    home, _ = COMMANDS[command]
    try:
        module = import_module(home)
    except ModuleNotFoundError as error:
        ours = error.name is not None and f"{home}.".startswith(f"{error.name}.")
        what = "the serving tree, which is not part of the light client" if ours else f"{error.name}"
        print(
            f"intarsia: `intarsia {command}` needs {what}; run `make demo` once in a checkout of Intarsia, "
            f"then `.venv/bin/intarsia {command}` there",
            file=sys.stderr,
        )
        return 2
    return module.main(list(arguments)) or 0

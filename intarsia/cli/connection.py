"""The options of every command that talks to a server."""

from __future__ import annotations

import argparse
import os
from typing import Any

from intarsia.cli.usage import readable, seconds
from intarsia.client import SERVER, Client


def add_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group("server and output")
    group.add_argument(
        "--server",
        metavar="HOST:PORT",
        default=os.environ.get("INTARSIA_SERVER", SERVER),
        help=f"default: the environment's INTARSIA_SERVER, else {SERVER}",
    )
    group.add_argument(
        "--tls",
        action="store_true",
        help="use TLS; the token in the environment variable INTARSIA_TOKEN is sent along",
    )
    group.add_argument(
        "--tls-roots", metavar="FILE", type=readable, help="use TLS, trusting these certificates (PEM)"
    )
    group.add_argument(
        "--timeout", type=seconds, default=120.0, metavar="S", help="seconds for one call (default: 120)"
    )
    group.add_argument("--json", action="store_true", help="one JSON object per line on standard output")


def add_progress_option(command: argparse.ArgumentParser) -> None:
    command.add_argument(
        "--progress",
        action=argparse.BooleanOptionalAction,
        default=None,
        help="show progress: a bar on standard error (default: on a terminal), or JSON lines with --json",
    )


def connect(options: argparse.Namespace) -> Client:
    return Client(**settings(options))


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """The client's arguments that the options give."""
    return {
        "server": options.server,
        "tls": options.tls_roots or options.tls,
        "token": os.environ.get("INTARSIA_TOKEN") or None,
        "timeout": options.timeout,
    }

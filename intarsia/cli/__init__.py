"""The command line: one subcommand per rpc, and commands of the server.

Results go to standard output, progress and errors to standard error. With `--json`, standard output
carries one JSON object per line and nothing else: `{"job": …}`, `{"progress": …}`, `{"result": …}`,
`{"artifact": …}`, `{"saved": …}`, `{"deleted": …}`, `{"segmentation": …}`, `{"plan": …}`, `{"adapter": …}`,
`{"completion": …}`, `{"warning": …}`, for a folder `{"item": …}` and `{"batch": …}`, or, at the end,
`{"error": …}`.
Their fields are those of `intarsia.results`: durations in seconds, seeds as strings.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence

import intarsia
from intarsia import errors
from intarsia.cli import (
    adapters,
    artifacts,
    completion,
    edit_region,
    fill_region,
    jobs,
    remove_region,
    segment_region,
    server_commands,
    track_region,
)
from intarsia.cli.output import Console
from intarsia.cli.usage import Parser, Usage, bind_negative_values

EXIT_CODES = """exit codes:
  0    done
  1    the job failed, or anything not listed here
  2    a wrong option or request
  3    a job, an artifact or what the region looks for was not found
  4    the server cannot be reached or is busy; trying again later is safe
  5    no valid token, no permission, or the quota is used up
  130  cancelled
"""


def parser() -> Parser:
    root = Parser(
        prog="intarsia",
        description="Edits regions of pictures and follows them through clips: only the region changes, "
        "every other pixel keeps its value.",
        epilog=EXIT_CODES,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    root.add_argument("--version", action="version", version=f"intarsia {intarsia.__version__}")
    commands = root.add_subparsers(title="commands", metavar="COMMAND", required=True)
    for module in (
        edit_region,
        fill_region,
        remove_region,
        segment_region,
        track_region,
        jobs,
        artifacts,
        adapters,
        completion,
        server_commands,
    ):
        module.add_to(commands)
    return root


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; its exit code (see `EXIT_CODES`)."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(json="--json" in arguments)
    try:
        if arguments and arguments[0] in server_commands.COMMANDS:
            return server_commands.run(*arguments)
        options = parser().parse_args(bind_negative_values(arguments))
        return options.run(options, console) or 0
    except Usage as error:
        console.error(error)
        return 2
    except errors.IntarsiaError as error:
        console.error(error)
        return code_of(error)
    except KeyboardInterrupt:
        console.error(errors.Cancelled("cancelled"))
        return 130
    except BrokenPipeError:  # the reader of our output has closed it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    except OSError as error:
        console.error(error)
        return 1


def code_of(error: errors.IntarsiaError) -> int:
    """The exit code of an error, by its class."""
    for kind, code in (
        (errors.InvalidRequest, 2),
        (errors.NotFound, 3),
        (errors.Busy, 4),
        (errors.ModelDown, 4),
        (errors.Unauthenticated, 5),
        (errors.PermissionDenied, 5),
        (errors.QuotaExceeded, 5),
        (errors.Cancelled, 130),
    ):
        if isinstance(error, kind):
            return code
    return 1

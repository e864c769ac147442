"""`intarsia edit-region`: edits a picture, or a folder of pictures, by instruction."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from intarsia.cli import connection, folders, picture_job, regions
from intarsia.cli.output import Console
from intarsia.cli.usage import OptionValue, OrderedOption, Usage, input_file
from intarsia.region import Region


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "edit-region",
        help="change what is inside a region, by instruction",
        description="Changes what is inside a region. Ctrl-C, or the end of this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "picture", metavar="PICTURE", nargs="?", type=input_file, help="a file, artifacts/…, or - for a pipe"
    )
    command.add_argument("-i", "--instruction", action=OrderedOption, metavar="WORDS", help="what to change")
    command.add_argument(
        "--negative-instruction", action=OrderedOption, metavar="WORDS", help="what must not appear"
    )
    command.add_argument(
        "--then", action=OrderedOption, nargs=0, help="begin a further edit, with a region and an instruction"
    )
    picture_job.add_options(command, "EditRegion")
    regions.add_options(command)
    folders.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, console: Console) -> int:
    folder = folders.named(options)
    if folder is None and options.picture is None:
        raise Usage("PICTURE: name a picture to edit, or a folder of them with --pictures")
    masked = folder is not None and folder.masks is not None
    first, *further = [_edit(part, masked) for part in regions.parts(options.ordered)]

    def make_request(client: Any, settings: dict[str, Any]) -> Any:
        where, instruction, negative = first
        return client.edit_request(
            where, instruction, negative_instruction=negative, further=further, **settings
        )

    if folder is not None:
        return folders.run(
            options, console, folder, partial(make_request, settings=picture_job.settings(options))
        )
    return picture_job.run(options, console, make_request, (options.picture, *regions.masks(options.ordered)))


def _edit(values: Sequence[OptionValue], masked: bool) -> tuple[Region, str, str]:
    """One of the edits: region, instruction and negative instruction."""
    one = partial(_once, values)
    instruction = one("instruction")
    if not instruction:
        raise Usage("-i/--instruction: required, once for every edit")
    return regions.region(values, masked=masked), instruction, one("negative_instruction")


def _once(values: Sequence[OptionValue], name: str) -> str:
    given = [value for option, value in values if option == name]
    if len(given) > 1:
        raise Usage(
            f"--{name.replace('_', '-')}: option given twice for one edit; put --then between two edits"
        )
    return given[0] if given else ""

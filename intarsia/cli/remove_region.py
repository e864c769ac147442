"""`intarsia remove-region`: makes what a region shows go, in a picture or a folder of pictures."""

from __future__ import annotations

import argparse
from functools import partial
from typing import Any

from intarsia.cli import connection, folders, picture_job, regions
from intarsia.cli.output import Console
from intarsia.cli.usage import Usage, input_file


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "remove-region",
        help="remove what a region shows",
        description="Removes what a region shows, with the filler or the editor: the one whose weights are "
        "better at it. Ctrl-C, or the end of this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "picture", metavar="PICTURE", nargs="?", type=input_file, help="a file, artifacts/…, or - for a pipe"
    )
    picture_job.add_options(command, "RemoveRegion")
    regions.add_options(command)
    folders.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, console: Console) -> int:
    folder = folders.named(options)
    if folder is None and options.picture is None:
        raise Usage("PICTURE: name a picture, or a folder of them with --pictures")
    where = regions.region(options.ordered, masked=folder is not None and folder.masks is not None)

    def make_request(client: Any, settings: dict[str, Any]) -> Any:
        return client.remove_request(where, **settings)

    if folder is not None:
        return folders.run(
            options, console, folder, partial(make_request, settings=picture_job.settings(options))
        )
    return picture_job.run(options, console, make_request, (options.picture, *regions.masks(options.ordered)))

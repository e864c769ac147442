"""`intarsia edit-region`: an edit from the picture to the file, with a bar in between."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from intarsia.cli import connection, folders, picture_job, regions
from intarsia.cli.output import Voice
from intarsia.cli.usage import Said, Spoken, Usage
from intarsia.cli.usage import picture as picture_type
from intarsia.region import Region


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "edit-region",
        help="change what is inside a region, by instruction",
        description="Changes what is inside a region. Ctrl-C, or the end of this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "picture", metavar="PICTURE", nargs="?", type=picture_type, help="a file, or artifacts/…"
    )
    command.add_argument("-i", "--instruction", action=Said, metavar="WORDS", help="what to change")
    command.add_argument("--negative-instruction", action=Said, metavar="WORDS", help="what must not appear")
    command.add_argument(
        "--then", action=Said, nargs=0, help="begins a further edit, with a region and an instruction"
    )
    command.add_argument("--picture-guidance", type=float, metavar="G", help="how strongly the source holds")
    picture_job.add_options(command)
    regions.add_options(command)
    folders.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, voice: Voice) -> int:
    folder = folders.named(options)
    if folder is None and options.picture is None:
        raise Usage("PICTURE: name a picture to edit, or a folder of them with --pictures")
    masked = folder is not None and folder.masks is not None
    first, *further = [_edit(part, masked) for part in regions.parts(options.said)]
    own = {
        "picture_guidance": options.picture_guidance,
        "negative_instruction": first[2],
        "then": further,
    }

    def ask(client: Any, settings: dict[str, Any]) -> Any:
        return client.edit_request(*first[:2], **own, **settings)

    if folder is not None:
        return folders.run(options, voice, folder, partial(ask, settings=picture_job.settings(options)))
    return picture_job.run(options, voice, ask, (options.picture, *regions.masks(options.said)))


def _edit(said: Sequence[Spoken], masked: bool) -> tuple[Region, str, str]:
    """One of the edits: where, what, and what not."""
    one = partial(_once, said)
    instruction = one("instruction")
    if not instruction:
        raise Usage("-i/--instruction: say what to change, once for every edit")
    return regions.region(said, masked=masked), instruction, one("negative_instruction")


def _once(said: Sequence[Spoken], name: str) -> str:
    values = [value for spoken, value in said if spoken == name]
    if len(values) > 1:
        raise Usage(f"--{name.replace('_', '-')} is said twice of one edit; keep one, or put --then between")
    return values[0] if values else ""

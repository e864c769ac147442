"""`intarsia fill-region`: repairs damage or removes an object, in a picture or a folder of pictures."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from intarsia.cli import connection, folders, picture_job, regions
from intarsia.cli.output import Console
from intarsia.cli.usage import OptionValue, Usage, input_file
from intarsia.presets import PRESETS, Preset

# Masks of damage are meant to be black and white; values between come from scaling or compression.
THRESHOLD = 128 / 255


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "fill-region",
        help="fill a region: repair damage, remove or replace an object",
        description="Fills a region with what fits its surroundings, or with what the prompt describes. Mask "
        "pictures count as inside from level 128 on, unless --mask-threshold says otherwise. Ctrl-C, or the "
        "end of this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "picture", metavar="PICTURE", nargs="?", type=input_file, help="a file, artifacts/…, or - for a pipe"
    )
    command.add_argument("-p", "--prompt", metavar="WORDS", help="what the region should show")
    command.add_argument("--negative-prompt", metavar="WORDS", help="what must not appear")
    command.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        help="prompts for a common case; --prompt and --negative-prompt replace them",
    )
    picture_job.add_options(command, "FillRegion")
    regions.add_options(command)
    folders.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, console: Console) -> int:
    folder = folders.named(options)
    if folder is None and options.picture is None:
        raise Usage("PICTURE: name a picture to fill, or a folder of them with --pictures")
    where = regions.region(
        _with_threshold(options.ordered), masked=folder is not None and folder.masks is not None
    )
    preset = PRESETS[options.preset] if options.preset else Preset("", "")
    prompt = preset.prompt if options.prompt is None else options.prompt
    negative = preset.negative_prompt if options.negative_prompt is None else options.negative_prompt

    def make_request(client: Any, settings: dict[str, Any]) -> Any:
        return client.fill_request(where, prompt, negative_prompt=negative, **settings)

    if folder is not None:
        return folders.run(
            options, console, folder, partial(make_request, settings=picture_job.settings(options))
        )
    return picture_job.run(options, console, make_request, (options.picture, *regions.masks(options.ordered)))


def _with_threshold(values: Sequence[OptionValue]) -> list[OptionValue]:
    """The same options, with a threshold for every mask."""
    if any(name == "mask_threshold" for name, _ in values):
        return list(values)
    found: list[OptionValue] = []
    for name, value in values:
        found.append((name, value))
        if name == "inside":
            found.append(("mask_threshold", THRESHOLD))
    return found

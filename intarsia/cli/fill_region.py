"""`intarsia fill-region`: damage repaired, or something made to go."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from functools import partial
from typing import Any

from intarsia.cli import connection, folders, picture_job, regions
from intarsia.cli.output import Voice
from intarsia.cli.usage import Spoken, Usage, whole
from intarsia.cli.usage import picture as picture_type
from intarsia.presets import PRESETS, Preset

# Masks of damage are black and white by intention: what lies between is their making's doing.
THRESHOLD = 128 / 255


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "fill-region",
        help="fill what is inside a region with what belongs there",
        description="Fills a region with what is likely there, or with what the prompt names. Mask pictures "
        "count as inside from level 128 on, unless --mask-threshold says otherwise. Ctrl-C, or the end of "
        "this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "picture", metavar="PICTURE", nargs="?", type=picture_type, help="a file, or artifacts/…"
    )
    command.add_argument("-p", "--prompt", metavar="WORDS", help="what shall be there")
    command.add_argument("--negative-prompt", metavar="WORDS", help="what must not appear")
    command.add_argument(
        "--preset", choices=tuple(PRESETS), help="prompts for a usual case; those that are said come first"
    )
    command.add_argument(
        "--margin",
        type=whole,
        metavar="PX",
        help="drawn anew around the region, not laid back (default: the weights' own)",
    )
    picture_job.add_options(command)
    regions.add_options(command)
    folders.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, voice: Voice) -> int:
    folder = folders.named(options)
    if folder is None and options.picture is None:
        raise Usage("PICTURE: name a picture to fill, or a folder of them with --pictures")
    where = regions.region(_hard(options.said), masked=folder is not None and folder.masks is not None)
    preset = PRESETS[options.preset] if options.preset else Preset("", "")
    prompt = preset.prompt if options.prompt is None else options.prompt
    negative = preset.negative_prompt if options.negative_prompt is None else options.negative_prompt

    def ask(client: Any, settings: dict[str, Any]) -> Any:
        return client.fill_request(where, prompt, negative_prompt=negative, margin=options.margin, **settings)

    if folder is not None:
        return folders.run(options, voice, folder, partial(ask, settings=picture_job.settings(options)))
    return picture_job.run(options, voice, ask, (options.picture, *regions.masks(options.said)))


def _hard(said: Sequence[Spoken]) -> list[Spoken]:
    """The same, with every mask's threshold said."""
    if any(name == "mask_threshold" for name, _ in said):
        return list(said)
    found: list[Spoken] = []
    for name, value in said:
        found.append((name, value))
        if name == "inside":
            found.append(("mask_threshold", THRESHOLD))
    return found

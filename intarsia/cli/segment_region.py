"""`intarsia segment-region`: what an edit would change, before anything is changed."""

from __future__ import annotations

import argparse
from typing import Any

from intarsia.cli import connection, regions
from intarsia.cli.usage import picture, writable
from intarsia.cli.voice import Voice, as_dict
from intarsia.v1.region_pb2 import Instance


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "segment-region",
        help="find a region and show its mask",
        description="Finds a region and shows its mask.",
    )
    command.set_defaults(run=run)
    command.add_argument("picture", metavar="PICTURE", type=picture, help="a file, or artifacts/…")
    command.add_argument("-o", "--output", metavar="FILE", help="write the mask here, as PNG, white inside")
    command.add_argument("--force", action="store_true", help="allow to overwrite the input itself")
    regions.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, voice: Voice) -> int:
    where, target = regions.region(options), None
    if options.output is not None:
        inputs = (options.picture, options.mask)
        target = writable("--output", options.output, inputs=inputs, force=options.force)
    with connection.connect(options) as client:
        found = client.segment_region(options.picture, where)
        if target is not None:
            client.download(found.region.mask, to=target)
    lines = [f"candidate {index}: {_described(each)}" for index, each in enumerate(found.instances)]
    lines += [f"{target or 'region'}: {_described(found.region)}", *(f"  {note}" for note in found.notes)]
    facts = {**as_dict(found), "output": None if target is None else str(target)}
    voice.tell("segmentation", facts, "\n".join(lines))
    return 0


def _described(instance: Instance) -> str:
    box = instance.box
    edges = f"{box.left},{box.top},{box.right},{box.bottom}"
    return f"score {instance.score:.2f}, box {edges}, {instance.area} pixels"

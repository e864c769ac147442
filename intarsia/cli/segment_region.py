"""`intarsia segment-region`: finds a region and writes its mask."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from intarsia.cli import connection, output_file, regions
from intarsia.cli.output import Console, as_json
from intarsia.cli.output_file import check_replaced, make_folder, writable
from intarsia.cli.usage import Usage, add_setting, input_file, source
from intarsia.results import FoundRegion


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "segment-region",
        help="find a region and show its mask",
        description="Finds a region and shows its mask.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "picture", metavar="PICTURE", type=input_file, help="a file, artifacts/…, or - for a pipe"
    )
    command.add_argument("-o", "--output", metavar="FILE", help="write the mask here, as PNG, white inside")
    command.add_argument(
        "--save-all", metavar="DIR", help="write the mask of every candidate here: candidate_0.png, ..."
    )
    output_file.add_options(command)
    add_setting(command, "strict")
    regions.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, console: Console) -> int:
    where, inputs = regions.region(options.ordered), (options.picture, *regions.masks(options.ordered))
    target, folder = None, None
    if options.output is not None:
        target = writable("--output", options.output, options, inputs=inputs)
    if options.save_all is not None:
        folder = _folder(options, inputs=inputs)
    saved: list[Path] = []
    with connection.connect(options) as client:
        found = client.segment_region(source(options.picture), where, strict=options.strict)
        if target is not None:
            client.download(found.region.mask, to=target)
        if folder is not None:
            for index, each in enumerate(found.instances):
                saved.append(client.download(each.mask, to=folder / f"candidate_{index}.png"))
    names = [str(path) for path in saved] or [f"candidate {n}" for n in range(len(found.instances))]
    lines = [f"{name}: {_described(each)}" for name, each in zip(names, found.instances, strict=True)]
    lines += [
        f"{target or 'region'}: {_described(found.region)}",
        *(f"  note: {note}" for note in found.notes),
    ]
    facts = {
        **as_json(found),
        "output": None if target is None else str(target),
        "candidate_outputs": [str(path) for path in saved],
    }
    console.result("segmentation", facts, "\n".join(lines))
    return 0


def _folder(options: argparse.Namespace, *, inputs: tuple[str, ...]) -> Path:
    """The folder for the candidates, which is there now; no file that would be replaced is an input."""
    folder = Path(options.save_all)
    if folder.exists() and not folder.is_dir():
        raise Usage(f"--save-all: {options.save_all!r} is a file; name a folder")
    for there in folder.glob("candidate_*.png"):
        check_replaced("--save-all", there, options, inputs=inputs)
    make_folder("--save-all", folder)
    return folder


def _described(instance: FoundRegion[Any]) -> str:
    box = instance.box
    edges = f"{box.left},{box.top},{box.right},{box.bottom}"
    return (
        f"score {instance.score:.2f}, stability {instance.stability:.2f}, box {edges}, {instance.area} pixels"
    )

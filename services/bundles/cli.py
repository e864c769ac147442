"""`intarsia weights`: fetches published weights, converts checkpoints into bundles, verifies and lists
bundles."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from services.bundles.errors import BundleError
from services.bundles.fetch import command as fetch_command

# What imports torch is imported by the commands that need it: help and completion come at once.
if TYPE_CHECKING:
    from services.bundles.bundle import Bundle

DTYPES = ("float32", "float16", "bfloat16")
_STARTER = Path(__file__).parents[2] / "weights/starter"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if all is well, 1 if a bundle is not sound or cannot be made, 130 after Ctrl-C."""
    options = parser().parse_args(argv)
    try:
        return options.run(options)
    except BundleError as problem:
        if options.json:
            print(json.dumps({"error": str(problem)}))
        else:
            print(f"intarsia weights: {problem}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("intarsia weights: stopped; what was fetched is kept, run it again to go on", file=sys.stderr)
        return 130


def parser() -> argparse.ArgumentParser:
    shared = argparse.ArgumentParser(add_help=False)
    shared.add_argument("--json", action="store_true", help="answer in JSON")
    parser = argparse.ArgumentParser(prog="intarsia weights", description=__doc__)
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    fetch_command.add_to(commands, shared)
    listing = commands.add_parser("list", parents=[shared], help="show the bundles of a folder")
    listing.add_argument(
        "folder", nargs="?", type=Path, help="default: $INTARSIA_WEIGHTS, else the starter weights"
    )
    listing.set_defaults(run=_list)

    check = commands.add_parser("verify", parents=[shared], help="list what is missing or wrong in a bundle")
    check.add_argument("bundle", nargs="+", type=Path, help="a bundle's folder")
    check.set_defaults(run=_verify)

    make = commands.add_parser("convert", help="convert a published checkpoint into a bundle, offline")
    kinds = make.add_subparsers(required=True, metavar="KIND")
    ip2p = kinds.add_parser("instruct-pix2pix", parents=[shared], help="from an InstructPix2Pix .ckpt")
    ip2p.set_defaults(run=_convert_instruct_pix2pix)
    fill = kinds.add_parser(
        "sd2-inpaint", parents=[shared], help="from a Stable Diffusion 2 inpainting .ckpt"
    )
    fill.set_defaults(run=_convert_sd2_inpaint)
    for kind in (ip2p, fill):
        kind.add_argument(
            "--tokenizer", type=Path, required=True, help="folder with vocab.json and merges.txt of CLIP"
        )
    sam2 = kinds.add_parser("sam2", parents=[shared], help="from a SAM 2 .pt")
    sam2.set_defaults(run=_convert_sam2)
    sam3 = kinds.add_parser(
        "sam3", parents=[shared], help="the text head of sam, from a folder or .pt of SAM 3"
    )
    sam3.add_argument("--tokenizer", type=Path, help="folder with vocab.json and merges.txt, if elsewhere")
    sam3.set_defaults(run=_convert_sam3)
    for kind in (ip2p, fill, sam2, sam3):
        kind.add_argument("checkpoint", type=Path)
        kind.add_argument("--to", type=Path, required=True, help="a new folder; for sam3: sam/text_head")
        kind.add_argument(
            "--dtype", choices=DTYPES, help="number type to store; default: as in the checkpoint"
        )
        kind.add_argument(
            "--config", type=Path, help="configs of the networks, if they are not of the published size"
        )
    return parser


def _list(options: argparse.Namespace) -> int:
    from services.bundles.bundle import open_bundles

    folder = options.folder or os.environ.get("INTARSIA_WEIGHTS") or _STARTER
    if not Path(folder).is_dir():
        raise BundleError(f"there is no folder {folder}; name one, or set INTARSIA_WEIGHTS")
    rows = [_summary(bundle) for bundle in open_bundles(folder).values()]
    if options.json:
        print(json.dumps(rows))
        return 0
    for row in rows:
        print(f"{row['bundle']}  {row['size_bytes'] / 1e6:.1f} MB  {row['digest'][:12]}")
        for name, part in row["components"].items():
            print(f"  {name:<13}{part['network']:<28}{part['parameters']:>13,} numbers")
        for side, figures in row["sizes"].items():
            good = ", ".join(f"{metric}: {value:g}" for metric, value in figures.items())
            print(f"  works at     {side} px" + (f": {good}" if good else ", for which it was made"))
        for licence in row["licences"]:
            print(f"  licence      {licence}")
        for command in row["card"].get("recipe", ()):
            print(f"  made by      {command}")
        for figure in row["card"].get("figures", ()):
            print(f"  held out     {figure['metric']}: {_measured(figure)}")
    return 0


def _measured(figure: dict[str, Any]) -> str:
    """A card's figure as text; percentages are stored as fractions of one."""
    value, unit, verdict = figure["value"], figure["unit"], figure["verdict"]
    shown = f"{value:.1%}" if unit == "%" else f"{value:g} {unit}".strip()
    return f"{shown} ({verdict})" if verdict else shown


def _summary(bundle: Bundle) -> dict[str, Any]:
    inventories = [bundle.inventory(component) for component in bundle.components]
    return {
        "bundle": bundle.name,
        "digest": bundle.digest,
        "size_bytes": sum(bundle.size_bytes(component) for component in bundle.components),
        "components": {
            item.component: {"network": item.network, "parameters": item.parameters} for item in inventories
        },
        "defaults": bundle.defaults,
        "licences": bundle.licences,
        "sizes": bundle.sizes,
        "card": bundle.card,
    }


def _verify(options: argparse.Namespace) -> int:
    from services.bundles.verify import verify

    reports = [verify(folder) for folder in options.bundle]
    if options.json:
        print(json.dumps([report.as_dict() for report in reports]))
    else:
        print("\n".join(str(report) for report in reports))
    return 0 if all(report.sound for report in reports) else 1


def _convert_instruct_pix2pix(options: argparse.Namespace) -> int:
    from services.bundles.convert import instruct_pix2pix
    from services.bundles.published_configs import IP2P

    config = options.config or IP2P
    bundle = instruct_pix2pix.convert(
        options.checkpoint, options.to, tokenizer=options.tokenizer, dtype=_dtype(options), config=config
    )
    return _report(bundle, options)


def _convert_sd2_inpaint(options: argparse.Namespace) -> int:
    from services.bundles.convert import sd2_inpaint
    from services.bundles.published_configs import SD2_INPAINT

    config = options.config or SD2_INPAINT
    bundle = sd2_inpaint.convert(
        options.checkpoint, options.to, tokenizer=options.tokenizer, dtype=_dtype(options), config=config
    )
    return _report(bundle, options)


def _convert_sam2(options: argparse.Namespace) -> int:
    from services.bundles.convert import sam2

    return _report(
        sam2.convert(options.checkpoint, options.to, dtype=_dtype(options), config=options.config), options
    )


def _convert_sam3(options: argparse.Namespace) -> int:
    from services.bundles.convert import sam3

    bundle = sam3.convert(
        options.checkpoint,
        options.to,
        tokenizer=options.tokenizer,
        dtype=_dtype(options),
        config=options.config,
    )
    return _report(bundle, options)


def _dtype(options: argparse.Namespace) -> Any:
    import torch

    return getattr(torch, options.dtype) if options.dtype else None


def _report(bundle: Bundle, options: argparse.Namespace) -> int:
    row = _summary(bundle)
    print(json.dumps(row) if options.json else f"{bundle.folder}: {row['size_bytes'] / 1e6:.1f} MB, sound")
    return 0


if __name__ == "__main__":
    raise SystemExit(main())

"""`intarsia adapters show`: describes an adapter and checks it against a model."""

from __future__ import annotations

import argparse
from typing import Any

from intarsia.cli import connection
from intarsia.cli.output import Console
from intarsia.cli.usage import input_file, source
from intarsia.results import AdapterReport


def add_to(commands: Any) -> None:
    group = commands.add_parser("adapters", help="check LoRA and other adapters against a model")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    shower = actions.add_parser("show", help="describe an adapter, and check whether it fits")
    shower.set_defaults(run=show)
    shower.add_argument(
        "adapter", metavar="ADAPTER", type=input_file, help="a safetensors file, artifacts/…, or - for a pipe"
    )
    shower.add_argument("--model", required=True, help="the model it is for, for example ip2p_unet")
    connection.add_options(shower)


def show(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        found = client.inspect_adapter(source(options.adapter), options.model)
    console.result("adapter", found, _text(found))
    return 0


def _text(found: AdapterReport) -> str:
    rank = f" of rank {found.rank}" if found.rank else ""
    lines = [
        f"{found.kind}{rank} in {found.layout} keys: {found.matched} layers, {found.parameters} numbers",
        *(f"  {key}: {value}" for key, value in sorted(found.metadata.items())),
    ]
    if found.unexpected_count:
        lines.append(
            f"  {found.unexpected_count} keys do not belong to the model: {', '.join(found.unexpected)}"
        )
    return "\n".join(lines)

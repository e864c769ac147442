"""`intarsia artifacts`: put, get and show."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from pathlib import Path
from typing import Any

from intarsia.cli import connection
from intarsia.cli.output import Console, as_json
from intarsia.cli.progress import Bytes
from intarsia.cli.usage import artifact_name, readable, writable_or_pipe
from intarsia.client import Client
from intarsia.files import ResultFile
from intarsia.results import ArtifactInfo


def add_to(commands: Any) -> None:
    group = commands.add_parser("artifacts", help="put, get or show stored pictures")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    putter = actions.add_parser("put", help="store files, and print their names")
    putter.set_defaults(run=put)
    putter.add_argument("files", metavar="FILE", nargs="+", type=readable, help="- reads standard input")
    getter = actions.add_parser("get", help="fetch an artifact")
    getter.set_defaults(run=get)
    getter.add_argument("name", metavar="ARTIFACT", type=artifact_name)
    getter.add_argument("-o", "--output", metavar="FILE", required=True, help="- writes to standard output")
    shower = actions.add_parser("show", help="describe an artifact")
    shower.set_defaults(run=show)
    shower.add_argument("name", metavar="ARTIFACT", type=artifact_name)
    for action in (putter, getter):
        connection.add_progress_option(action)
    for action in (putter, getter, shower):
        connection.add_options(action)


def put(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        for file in options.files:
            source = sys.stdin.buffer if file == "-" else file
            with closing(Bytes(console, options.progress, file)) as progress:
                artifact = client.upload(source, progress=progress)
            console.result("artifact", artifact, artifact.name)
    return 0


def get(options: argparse.Namespace, console: Console) -> int:
    target = writable_or_pipe(options.output, json=options.json)
    with connection.connect(options) as client:
        if target == Path("-"):
            to_standard_output(client, options.name)
            return 0
        with closing(Bytes(console, options.progress, str(target))) as progress:
            client.download(options.name, to=target, progress=progress)
    console.result("saved", {"name": options.name, "output": str(target)}, str(target))
    return 0


def show(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        artifact = client.get_artifact(options.name)
    console.result("artifact", artifact, _line(artifact))
    return 0


def to_standard_output(client: Client, name: str | ResultFile) -> None:
    """Writes an artifact's bytes to standard output; damaged bytes are reported by the exit code."""
    for chunk in client.stream(name):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _line(artifact: ArtifactInfo) -> str:
    stored = as_json(artifact.create_time) or ""
    return f"{artifact.name}  {artifact.media_type}  {artifact.size_bytes} bytes  {stored}".rstrip()

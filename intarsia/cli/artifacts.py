"""`intarsia artifacts`: put, get, show, list, pin, unpin and delete."""

from __future__ import annotations

import argparse
import sys
from contextlib import closing
from itertools import islice
from pathlib import Path
from typing import Any

from intarsia.cli import connection, output_file
from intarsia.cli.output import Console, as_json
from intarsia.cli.output_file import writable_or_pipe
from intarsia.cli.progress import Bytes
from intarsia.cli.usage import add_limit, artifact_name, readable, source
from intarsia.client import Client
from intarsia.files import ResultFile
from intarsia.results import ArtifactInfo


def add_to(commands: Any) -> None:
    group = commands.add_parser("artifacts", help="put, get, show, list, pin or delete what is stored")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    putter = actions.add_parser("put", help="store files, and print their names")
    putter.set_defaults(run=put)
    putter.add_argument("files", metavar="FILE", nargs="+", type=readable, help="- reads standard input")
    getter = actions.add_parser("get", help="fetch an artifact")
    getter.set_defaults(run=get)
    getter.add_argument("name", metavar="ARTIFACT", type=artifact_name)
    getter.add_argument("-o", "--output", metavar="FILE", required=True, help="- writes to standard output")
    output_file.add_options(getter, inputs=False)
    shower = actions.add_parser("show", help="describe an artifact")
    shower.set_defaults(run=show)
    shower.add_argument("name", metavar="ARTIFACT", type=artifact_name)
    lister = actions.add_parser("list", help="what is stored, newest first")
    lister.set_defaults(run=list_artifacts)
    lister.add_argument("--pinned", action="store_true", help="only what is pinned")
    add_limit(lister)
    for action in (putter, getter):
        connection.add_progress_option(action)
    for action in (putter, getter, shower, lister):
        connection.add_options(action)
    for name, run, text in (
        ("pin", pin, "keep artifacts until they are unpinned"),
        ("unpin", unpin, "let artifacts expire again"),
        ("delete", delete, "remove artifacts now"),
    ):
        action = actions.add_parser(name, help=text)
        action.set_defaults(run=run)
        action.add_argument("names", metavar="ARTIFACT", nargs="+", type=artifact_name)
        connection.add_options(action)


def put(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        for file in options.files:
            with closing(Bytes(console, options.progress, file)) as progress:
                artifact = client.upload(source(file), progress=progress)
            console.result("artifact", artifact, artifact.name)
    return 0


def get(options: argparse.Namespace, console: Console) -> int:
    target = writable_or_pipe(options.output, options)
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


def list_artifacts(options: argparse.Namespace, console: Console) -> int:
    if options.limit == 0:
        return 0
    with connection.connect(options) as client:
        found = client.list_artifacts(pinned=options.pinned, page_size=min(options.limit, 1000))
        for artifact in islice(found, options.limit):
            console.result("artifact", artifact, _line(artifact))
    return 0


def pin(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        for name in options.names:
            artifact = client.pin(name)
            console.result("artifact", artifact, _line(artifact))
    return 0


def unpin(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        for name in options.names:
            artifact = client.unpin(name)
            console.result("artifact", artifact, _line(artifact))
    return 0


def delete(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        for name in options.names:
            client.delete(name)
            console.result("deleted", {"name": name}, name)
    return 0


def to_standard_output(client: Client, name: str | ResultFile) -> None:
    """Writes an artifact's bytes to standard output; damaged bytes are reported by the exit code."""
    for chunk in client.stream(name):
        sys.stdout.buffer.write(chunk)
    sys.stdout.buffer.flush()


def _line(artifact: ArtifactInfo) -> str:
    parts = [artifact.name, artifact.media_type, f"{artifact.size_bytes} bytes", artifact.origin]
    parts.append(as_json(artifact.create_time) or "")
    if artifact.pinned:
        parts.append("pinned")
    elif artifact.expire_time is not None:
        parts.append(f"until {as_json(artifact.expire_time)}")
    return "  ".join(part for part in parts if part)

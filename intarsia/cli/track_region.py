"""`intarsia track-region`: follows a region through a clip."""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from intarsia import jobs
from intarsia.artifacts import is_name
from intarsia.cli import connection, follow_job, output_file, regions
from intarsia.cli.artifacts import to_standard_output
from intarsia.cli.output import Console, as_json
from intarsia.cli.output_file import writable, writable_or_pipe
from intarsia.cli.usage import OptionValue, OrderedOption, Usage, input_file, source, whole
from intarsia.client import Client
from intarsia.region import Region
from intarsia.results import JobStatus
from intarsia.settings import JobSettings

_FILES = {"output": "masks", "save_track": "track", "save_overlay": "overlay"}
_ENDINGS = {"output": ".mkv", "save_overlay": ".mp4"}


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "track-region",
        help="follow a region through a clip",
        description="Follows a region through a clip, from the frame of its first sighting. Ctrl-C, or "
        "the end of this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument(
        "clip", metavar="CLIP", type=input_file, help="a video file, artifacts/…, or - for a pipe"
    )
    command.add_argument(
        "-o",
        "--output",
        metavar="FILE",
        help="write the masks here: Matroska, lossless, white inside; - for a pipe",
    )
    add_files(command)
    command.add_argument(
        "--overlay", action="store_true", help="make the overlay of a detached job, to fetch it later"
    )
    output_file.add_options(command)
    command.add_argument(
        "--frames",
        type=whole,
        metavar="N",
        help="follow through N frames from the first sighting on (default: to the end)",
    )
    command.add_argument(
        "--at",
        action=OrderedOption,
        type=whole,
        metavar="FRAME",
        help="the options after this show the object in this frame, from 0 (default: 0; repeatable)",
    )
    follow_job.add_options(command)
    regions.add_options(command)
    connection.add_options(command)


def run(options: argparse.Namespace, console: Console) -> int:
    seen = _sightings(options.ordered)
    if options.frames == 0:
        raise Usage("--frames: must be 1 or more, or left out")
    targets = _targets(options)
    with connection.connect(options) as client:
        clip = options.clip if is_name(options.clip) else client.upload(source(options.clip)).name
        request = client.track_request(
            seen,
            frames=options.frames,
            overlay=options.overlay or "save_overlay" in targets,
            **{name: getattr(options, name) for name in JobSettings.__annotations__},
        )
        request.clip = clip
        finished = follow_job.run(client, request, options, console)
        if finished is not None:
            save(client, finished, console, targets)
    return 0


def save(client: Client, job: JobStatus[Any], console: Console, targets: dict[str, Path]) -> None:
    """Writes the files of a finished job and prints its result; raises the error of a failed one.

    Of a cancelled job, what was kept is written first.
    """
    _write(client, job, job.result or jobs.result_of(job), console, targets)
    if job.error is not None:
        raise job.error


def _write(
    client: Client, job: JobStatus[Any], result: Any, console: Console, targets: dict[str, Path]
) -> None:
    if "save_overlay" in targets and not result.overlay:
        raise Usage("--save-overlay: this job has no overlay; follow the region again with --overlay")
    for name, target in targets.items():
        if target != Path("-"):
            client.download(getattr(result, _FILES[name]), to=target)
    if targets.get("output") == Path("-"):
        to_standard_output(client, result.masks)
        return
    written = {name: str(target) for name, target in targets.items()}
    spent = follow_job.seconds(job)
    how = f"seen in {result.seen} of {result.frames} frames, {spent:.1f} s"
    lines = [f"{written.get('output', result.masks)}: {how}"]
    lines += [path for name, path in written.items() if name != "output"]
    facts = {**as_json(result), "job": job.name, **{name: written.get(name) for name in _FILES}}
    console.result("result", facts, "\n".join([*lines, *(f"  note: {note}" for note in result.notes)]))


def _sightings(values: Iterable[OptionValue]) -> dict[int, Region]:
    """The regions by the frames they are seen in. `--relative` counts for all of them."""
    seen: dict[int, list[OptionValue]] = {}
    frame, relative = 0, [each for each in values if each[0] == "relative"]
    for name, value in values:
        if name == "at":
            frame = value
            if frame in seen:
                raise Usage(f"--at: frame {frame} given twice; put --plus between regions of one frame")
            seen[frame] = []
        elif name != "relative":
            seen.setdefault(frame, []).append((name, value))
    return {frame: regions.region([*part, *relative]) for frame, part in (seen or {0: []}).items()}


def _targets(options: argparse.Namespace) -> dict[str, Path]:
    if options.detach:
        follow_job.check_detached(options, *_FILES)
        return {}
    if options.output is None:
        raise Usage("-o/--output: name the file for the masks, e.g. -o masks.mkv, or add --detach")
    return files(options, options.clip, *regions.masks(options.ordered))


def add_files(command: argparse.ArgumentParser) -> None:
    """Adds the options of the files that can be written besides the masks."""
    command.add_argument(
        "--save-track", metavar="FILE", help="write box, area and presence here, a JSON object for each frame"
    )
    command.add_argument("--save-overlay", metavar="FILE", help="write the clip, the region tinted, as MP4")


def files(options: argparse.Namespace, *inputs: str) -> dict[str, Path]:
    """The files to write, `-` for a pipe, checked before any work is done; none of them is an input."""
    targets: dict[str, Path] = {}
    for name in _FILES:
        path, option = getattr(options, name), f"--{name.replace('_', '-')}"
        if path is None:
            continue
        ending = _ENDINGS.get(name)
        if ending and path != "-" and Path(path).suffix.lower() != ending:
            raise Usage(f"{option}: the file is {ending[1:].upper()}; use the ending {ending}")
        if name == "output":
            target = writable_or_pipe(path, options, inputs=inputs)
        else:
            target = writable(option, path, options, inputs=inputs)
        if target in targets.values():
            raise Usage(f"{option}: {path!r} named twice; name different files")
        targets[name] = target
    return targets

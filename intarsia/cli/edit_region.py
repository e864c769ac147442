"""`intarsia edit-region`: an edit from the picture to the file, with a bar in between."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from intarsia import errors, jobs
from intarsia.artifacts import is_name
from intarsia.cli import connection, regions
from intarsia.cli.artifacts import to_standard_output
from intarsia.cli.interrupt import holding_interrupts
from intarsia.cli.progress import Progress
from intarsia.cli.usage import Usage, whole, writable, writable_or_pipe
from intarsia.cli.usage import picture as picture_type
from intarsia.cli.voice import Voice, as_dict
from intarsia.client import Client
from intarsia.editing import FORMATS, SCHEDULERS
from intarsia.v1 import jobs_pb2 as v1

SUFFIXES = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "edit-region",
        help="change what is inside a region, by instruction",
        description="Changes what is inside a region. Ctrl-C, or the end of this process, cancels the job.",
    )
    command.set_defaults(run=run)
    command.add_argument("picture", metavar="PICTURE", type=picture_type, help="a file, or artifacts/…")
    command.add_argument("-i", "--instruction", required=True, metavar="WORDS", help="what to change")
    command.add_argument("-o", "--output", metavar="FILE", help="where the edited picture goes; - for a pipe")
    command.add_argument("--save-mask", metavar="FILE", help="write the mask that was used, as PNG")
    command.add_argument("--force", action="store_true", help="allow to overwrite the input itself")
    command.add_argument("--detach", action="store_true", help="start the job, print its name, and leave")
    connection.add_progress_option(command)
    regions.add_options(command)
    add_sampling_options(command)
    connection.add_options(command)


def add_sampling_options(command: argparse.ArgumentParser) -> None:
    """Defaults are the server's, and reported in the result's manifest."""
    group = command.add_argument_group("how the picture is made")
    group.add_argument("--negative-instruction", metavar="WORDS", default="", help="what must not appear")
    group.add_argument("--seed", type=whole, metavar="N", help="chooses the noise (default: drawn)")
    group.add_argument("--steps", type=whole, metavar="N", help="denoising steps (default: the weights' own)")
    group.add_argument("--guidance", type=float, metavar="G", help="how strongly the words steer")
    group.add_argument("--picture-guidance", type=float, metavar="G", help="how strongly the source holds")
    group.add_argument("--scheduler", choices=tuple(SCHEDULERS), help="default: the weights' own")
    group.add_argument(
        "--reproducible", action="store_true", help="same seed, same bytes, whatever else the server does"
    )
    group.add_argument(
        "--context", type=float, metavar="C", help="surroundings shown, as a share of the region"
    )
    group.add_argument("--working-size", type=whole, metavar="PX", help="longer side the crop is worked at")
    group.add_argument("--format", choices=tuple(FORMATS), help="default: by the output's ending")
    group.add_argument("--quality", type=whole, metavar="Q", help="of lossy formats, 1 to 100 (default: 95)")
    group.add_argument("--preview-every", type=whole, metavar="N", help="make a preview after every N steps")
    group.add_argument("--preview", metavar="FILE", help="write the latest preview here, as JPEG")
    group.add_argument("--time-limit", type=float, metavar="S", help="give up after so many seconds")
    group.add_argument("--request-id", metavar="UUID", help="repeating one returns the first job")


def run(options: argparse.Namespace, voice: Voice) -> int:
    where = regions.region(options.said)
    targets, form = _targets(options), _format(options)
    every = options.preview_every if options.preview_every is not None else 5 if options.preview else 0
    with connection.connect(options) as client:
        picture = options.picture if is_name(options.picture) else client.upload(options.picture)
        with holding_interrupts() as held:
            job = client.edit_region(
                picture,
                where,
                options.instruction,
                negative_instruction=options.negative_instruction,
                seed=options.seed,
                steps=options.steps,
                guidance=options.guidance,
                picture_guidance=options.picture_guidance,
                scheduler=options.scheduler,
                reproducible=options.reproducible,
                context=options.context,
                working_size=options.working_size,
                format=form,
                quality=options.quality,
                preview_every=every,
                time_limit=options.time_limit,
                request_id=options.request_id,
            )
        try:
            if held.asked:
                raise KeyboardInterrupt
            if options.detach:
                voice.tell("job", {"name": job.name}, job.name)
                return 0
            finished = follow(client, job.name, voice, options.progress, targets.get("preview"), tied=True)
        except KeyboardInterrupt:
            _stop(options, job.name)
            raise
        save(client, finished, voice, targets.get("output"), targets.get("save_mask"))
    return 0


def follow(
    client: Client, name: str, voice: Voice, progress: bool | None, preview: Path | None, *, tied: bool
) -> v1.Job:
    """Shows a job's progress until it is finished; `tied` to this process, it is cancelled with it."""
    shown, job = "", v1.Job(name=name)
    with Progress(voice, progress) as bar:
        for job in client.watch_job(name, cancel_on_disconnect=tied):
            bar.show(job)
            if preview is not None and job.progress.preview not in ("", shown):
                shown = job.progress.preview
                try:
                    client.download(shown, to=preview)
                except (errors.IntarsiaError, OSError) as error:  # the edit matters more
                    bar.warn(f"a preview was not written: {error}")
    return job


def save(client: Client, job: v1.Job, voice: Voice, output: Path | None, mask: Path | None) -> None:
    """Writes what a finished job made and tells about it; a job without success raises its reason."""
    result = jobs.result_of(job)
    if mask is not None:
        client.download(result.mask, to=mask)
    if output == Path("-"):
        to_standard_output(client, result.picture)
        return
    if output is not None:
        client.download(result.picture, to=output)
    facts = {
        **as_dict(result),
        "job": job.name,
        "output": None if output is None else str(output),
        "mask_output": None if mask is None else str(mask),
    }
    made = result.manifest
    spent = sum(stage.duration.ToTimedelta().total_seconds() for stage in made.stage_times)
    how = f"seed {made.seed}, {made.steps} steps of {made.scheduler}, {spent:.1f} s"
    lines = [f"{output or result.picture}: {how}", *(f"  {note}" for note in made.notes)]
    voice.tell("result", facts, "\n".join(lines))


def _targets(options: argparse.Namespace) -> dict[str, Path]:
    """Files to be written, checked before any work is done."""
    if options.detach:
        for name in ("output", "save_mask", "preview"):
            if getattr(options, name) is not None:
                raise Usage(
                    f"--{name.replace('_', '-')}: a detached job leaves no file; "
                    "fetch it later with `intarsia jobs watch JOB -o FILE`"
                )
        return {}
    if options.output is None:
        raise Usage("-o/--output: say where the edited picture goes, e.g. -o out.png, or add --detach")
    inputs = (options.picture, *regions.masks(options.said))
    targets = {}
    for name in ("output", "save_mask", "preview"):
        path = getattr(options, name)
        option = f"--{name.replace('_', '-')}"
        if name == "output":
            targets[name] = writable_or_pipe(path, machine=options.json, inputs=inputs, force=options.force)
        elif path is not None:
            targets[name] = writable(option, path, inputs=inputs, force=options.force)
            if targets[name] in [other for key, other in targets.items() if key != name]:
                raise Usage(f"{option}: {path!r} is named twice; name different files")
    return targets


def _format(options: argparse.Namespace) -> str | None:
    """The file's ending says the format, unless an option does; the two must not contradict."""
    if options.output in (None, "-"):
        return options.format
    ending = Path(options.output).suffix.lower()
    meant = SUFFIXES.get(ending)
    if meant is None and options.format is None:
        known = ", ".join(SUFFIXES)
        raise Usage(f"-o/--output: {ending!r} names no format; use one of {known}, or add --format")
    if meant is not None and options.format not in (None, meant):
        raise Usage(
            f"--format: {options.format} contradicts the output's ending {ending}; change one of them"
        )
    return options.format or meant


def _stop(options: argparse.Namespace, name: str) -> None:
    """Closing the watch has cancelled the job; this is for one that was not watched yet."""
    options.timeout = 3.0
    with connection.connect(options) as client:
        try:
            client.cancel_job(name)
        except errors.IntarsiaError:
            return  # out of reach: it is cancelled by the broken stream, or by nobody

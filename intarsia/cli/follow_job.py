"""Seeing a job through: started, followed with its progress, and cancelled with this process."""

from __future__ import annotations

import argparse
from pathlib import Path

from intarsia import errors
from intarsia.cli import connection
from intarsia.cli.interrupt import holding_interrupts
from intarsia.cli.output import Voice
from intarsia.cli.progress import Progress
from intarsia.cli.usage import Usage
from intarsia.client import Client, Request
from intarsia.v1 import jobs_pb2 as v1


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--detach", action="store_true", help="start the job, print its name, and leave")
    command.add_argument("--time-limit", type=float, metavar="S", help="give up after so many seconds")
    command.add_argument("--request-id", metavar="UUID", help="repeating one returns the first job")
    connection.add_progress_option(command)


def check_detached(options: argparse.Namespace, *files: str) -> None:
    """A detached job is not waited for, so it writes none of the files that options could name."""
    for name in files:
        if getattr(options, name) is not None:
            raise Usage(
                f"--{name.replace('_', '-')}: a detached job leaves no file; "
                "fetch it later with `intarsia jobs watch JOB`, which takes such options too"
            )


def carry(
    client: Client, request: Request, options: argparse.Namespace, voice: Voice, preview: Path | None = None
) -> v1.Job | None:
    """The finished job, however it ended; None for one that was started and left."""
    with holding_interrupts() as held:
        job = client.start(request)
    try:
        if held.asked:
            raise KeyboardInterrupt
        if options.detach:
            voice.tell("job", {"name": job.name}, job.name)
            return None
        return follow(client, job.name, voice, options.progress, preview, tied=True)
    except KeyboardInterrupt:
        _stop(options, job.name)
        raise


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
                except (errors.IntarsiaError, OSError) as error:  # the result matters more
                    bar.warn(f"a preview was not written: {error}")
    return job


def _stop(options: argparse.Namespace, name: str) -> None:
    """Closing the watch has cancelled the job; this is for one that was not watched yet."""
    options.timeout = 3.0
    with connection.connect(options) as client:
        try:
            client.cancel_job(name)
        except errors.IntarsiaError:
            return  # out of reach: it is cancelled by the broken stream, or by nobody

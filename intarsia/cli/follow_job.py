"""Running a job: starts it, shows its progress, and cancels it if this process is interrupted."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from intarsia import errors
from intarsia.cli import connection
from intarsia.cli.interrupt import holding_interrupts
from intarsia.cli.output import Console
from intarsia.cli.progress import Progress
from intarsia.cli.usage import Usage, add_setting, level
from intarsia.client import Client
from intarsia.requests import Request
from intarsia.results import JobStatus


def add_options(command: argparse.ArgumentParser) -> None:
    command.add_argument("--detach", action="store_true", help="start the job, print its name, and exit")
    add_setting(command, "time_limit", type=float)
    add_setting(command, "request_id")
    add_setting(command, "priority", type=level)
    add_setting(command, "labels", action="append", default=[])
    add_setting(command, "kind")
    connection.add_progress_option(command)


def check_detached(options: argparse.Namespace, *files: str) -> None:
    """Raises `Usage` if an option names a file that a detached job would not write."""
    for name in files:
        if getattr(options, name) is not None:
            raise Usage(
                f"--{name.replace('_', '-')}: a detached job writes no file; "
                "fetch it later with `intarsia jobs watch JOB`, which takes such options too"
            )


def run(
    client: Client,
    request: Request,
    options: argparse.Namespace,
    console: Console,
    preview: Path | None = None,
) -> JobStatus[Any] | None:
    """The finished job, however it ended; None for a detached one."""
    with holding_interrupts() as held:
        job = client.start(request)
    if held.interrupted:
        if options.detach:
            job.cancel()  # any other job ends with the client
        raise KeyboardInterrupt
    if options.detach:
        console.result("job", {"name": job.name}, job.name)
        return None
    return follow(client, job.name, console, options.progress, preview, cancel_on_exit=True)


def follow(
    client: Client,
    name: str,
    console: Console,
    progress: bool | None,
    preview: Path | None,
    *,
    cancel_on_exit: bool,
) -> JobStatus[Any]:
    """Shows a job's progress until it is finished, and writes its latest preview; the finished job."""
    written = None
    with Progress(console, progress) as bar:
        for job in client.watch_job(name, cancel_on_disconnect=cancel_on_exit):
            bar.show(job)
            if preview is not None and job.progress.preview not in (None, written):
                written = job.progress.preview
                try:
                    client.download(written, to=preview)
                except (errors.IntarsiaError, OSError) as error:  # does not stop the job
                    bar.warn(f"a preview was not written: {error}")
    return job


def seconds(job: JobStatus[Any]) -> float:
    """The time from a finished job's start to its end."""
    if job.start_time is None or job.end_time is None:
        return 0.0
    return (job.end_time - job.start_time).total_seconds()

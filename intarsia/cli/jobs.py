"""`intarsia jobs`: list, show, watch, pause, resume, retry and cancel."""

from __future__ import annotations

import argparse
from itertools import islice
from typing import Any

from intarsia import errors
from intarsia.cli import connection, output_file, picture_job, track_region
from intarsia.cli.follow_job import follow
from intarsia.cli.job_text import details, line
from intarsia.cli.output import Console
from intarsia.cli.output_file import writable, writable_or_pipe
from intarsia.cli.usage import Usage, add_limit, add_setting, job_name
from intarsia.results import JobState, JobStatus


def add_to(commands: Any) -> None:
    group = commands.add_parser("jobs", help="list, show, watch, pause, resume, retry or cancel jobs")
    actions = group.add_subparsers(title="actions", metavar="ACTION", required=True)
    lister = actions.add_parser("list", help="the newest jobs")
    lister.set_defaults(run=list_jobs)
    lister.add_argument(
        "--state",
        choices=tuple(state.value for state in JobState),
        action="append",
        default=[],
        help="only jobs in this state (repeatable)",
    )
    lister.add_argument(
        "--method",
        metavar="RPC",
        dest="methods",
        action="append",
        default=[],
        help="only jobs of this rpc, for example EditRegion (repeatable)",
    )
    add_setting(lister, "labels", action="append", default=[], help="only jobs with this label (repeatable)")
    add_limit(lister)
    connection.add_options(lister)
    for name, run, text in (
        ("show", show, "the state of a job"),
        ("watch", watch, "follow a job to its end, and fetch its result"),
        ("pause", pause, "stop a job for now, and keep what it has made"),
        ("resume", resume, "let a paused job go on"),
        ("retry", retry, "start a failed or cancelled job again, with what it has made"),
        ("cancel", cancel, "ask a job to stop"),
    ):
        action = actions.add_parser(name, help=text, description=f"{text[0].upper()}{text[1:]}.")
        action.set_defaults(run=run)
        action.add_argument("job", metavar="JOB", type=job_name, help="jobs/…")
        if name == "watch":
            action.add_argument(
                "-o", "--output", metavar="FILE", help="write the picture or the masks here; - for a pipe"
            )
            action.add_argument("--save-mask", metavar="FILE", help="write the mask that was used, as PNG")
            track_region.add_files(action)
            output_file.add_options(action, inputs=False)
            connection.add_progress_option(action)
        if name == "cancel":
            action.add_argument(
                "--keep-partial", action="store_true", help="keep what is finished as its result"
            )
        connection.add_options(action)


def list_jobs(options: argparse.Namespace, console: Console) -> int:
    if options.limit == 0:
        return 0
    with connection.connect(options) as client:
        found = client.list_jobs(
            states=options.state,
            methods=options.methods,
            labels=options.labels,
            page_size=min(options.limit, 1000),
        )
        for job in islice(found, options.limit):
            console.result("job", job, line(job))
    return 0


def show(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        job = client.get_job(options.job)
    console.result("job", job, "\n".join([line(job), *(f"  {name}: {text}" for name, text in details(job))]))
    return 0


def watch(options: argparse.Namespace, console: Console) -> int:
    output = writable_or_pipe(options.output, options) if options.output else None
    mask = writable("--save-mask", options.save_mask, options) if options.save_mask else None
    with connection.connect(options) as client:
        tracked = client.get_job(options.job).method == "TrackRegion"
        if tracked and mask is not None:
            raise Usage("--save-mask: -o writes the masks of a clip; leave this out")
        if not tracked and (options.save_track or options.save_overlay):
            raise Usage("--save-track and --save-overlay: only for jobs of track-region; leave them out")
        try:
            finished = follow(client, options.job, console, options.progress, None, cancel_on_exit=False)
        except KeyboardInterrupt:
            raise errors.Cancelled(
                f"{options.job} is no longer watched and keeps running; `intarsia jobs cancel` stops it"
            ) from None
        if tracked:
            track_region.save(client, finished, console, track_region.files(options))
        else:
            picture_job.save(client, finished, console, output, mask)
    return 0


def pause(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        return _print(console, client.pause_job(options.job))


def resume(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        return _print(console, client.resume_job(options.job))


def retry(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        return _print(console, client.retry_job(options.job))


def cancel(options: argparse.Namespace, console: Console) -> int:
    with connection.connect(options) as client:
        return _print(console, client.cancel_job(options.job, keep_partial=options.keep_partial))


def _print(console: Console, job: JobStatus[Any]) -> int:
    console.result("job", job, line(job))
    return 0

"""Folders instead of one picture: `--pictures` of `edit-region` and `fill-region`."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from typing import Any

from tqdm import tqdm

from intarsia import folder
from intarsia.cli import connection
from intarsia.cli.output import Console, as_json, option_of
from intarsia.cli.progress import stage_of, wanted
from intarsia.cli.usage import Usage, whole
from intarsia.folder import Folder, Item, Listener, Pairs, Report, RequestFactory
from intarsia.folder.pairs import POLICIES, RELATIVE
from intarsia.region import POLARITIES
from intarsia.results import JobStatus

# Options of a folder, and their defaults.
OPTIONS: Mapping[str, Any] = {"masks": None, "out": None, "pair": None, "at_once": None, "save_masks": False}
# Options that are for one picture only.
ONE_PICTURE = (
    "picture",
    "output",
    "save_mask",
    "preview",
    "preview_every",
    "detach",
    "plan",
    "force",
    "no_clobber",
    "request_id",
)


def add_options(command: argparse.ArgumentParser) -> None:
    group = command.add_argument_group(
        "a folder, instead of PICTURE",
        "A second run skips what is done; report.json in --out lists every picture.",
    )
    group.add_argument("--pictures", metavar="DIR", help="edit every picture in it and in the folders below")
    group.add_argument(
        "--masks", metavar="DIR", help="masks of the same names as the pictures; needs --inside"
    )
    group.add_argument("--out", metavar="DIR", help="write the results here, with the same names")
    group.add_argument(
        "--pair",
        choices=POLICIES,
        help="pair masks with pictures by path (default) or by name",
    )
    group.add_argument("--at-once", type=whole, metavar="N", help="pictures at the same time (default: 4)")
    group.add_argument("--save-masks", action="store_true", help="also write the masks that were used")


def named(options: argparse.Namespace) -> Folder | None:
    """The folder that the options name; None for a single picture."""
    if options.pictures is None:
        for name, default in OPTIONS.items():
            if getattr(options, name) != default:
                raise Usage(f"{_option(name)} needs --pictures; add it, or leave this out")
        return None
    for name in ONE_PICTURE:
        if getattr(options, name, None) not in (None, False):
            raise Usage(f"{_option(name)} is for one picture; leave it out, or leave out --pictures")
    if options.out is None:
        raise Usage("--out: name the folder for the results, e.g. --out results")
    if options.masks is not None and not any(name == "inside" for name, _ in options.ordered):
        raise Usage(f"--masks needs --inside, the part of a mask that is the region: {', '.join(POLARITIES)}")
    if options.pair is not None and options.masks is None:
        raise Usage("--pair needs --masks; add it, or leave this out")
    return Folder(
        options.pictures,
        options.out,
        masks=options.masks,
        by=options.pair or RELATIVE,
        at_once=4 if options.at_once is None else options.at_once,
        with_mask=options.save_masks,
    )


def run(options: argparse.Namespace, console: Console, where: Folder, make_request: RequestFactory) -> int:
    """Processes a folder; exit code 0 if everything is done, 1 if something failed."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # for file names that are not Unicode
    with BatchConsole(console, options.progress, where.at_once) as listener:
        report = folder.run(where, make_request, listener=listener, **connection.settings(options))
    return 0 if report.ok else 1


class BatchConsole(Listener):
    """Shows a batch: progress bars, a line for every item, and a table at its end.

    A context manager: leaving it removes the bars.
    """

    def __init__(self, console: Console, requested: bool | None, at_once: int) -> None:
        self._console, self._enabled = console, wanted(requested, console)
        self._bars = self._enabled and not console.json
        self._batch: tqdm | None = None
        self._free = list(range(at_once, 0, -1))  # lines below the batch's bar
        self._items: dict[Item, tuple[tqdm, int]] = {}  # their bars, and those bars' lines

    def __enter__(self) -> BatchConsole:
        return self

    def __exit__(self, *_: object) -> None:
        for item in list(self._items):
            self._remove_bar(item)
        if self._batch is not None:
            self._batch.close()

    def on_start(self, pairs: Pairs) -> None:
        for sentence in _left_out(pairs):
            self._console.warning(sentence)
        if self._bars:
            self._batch = tqdm(
                total=len(pairs.items), unit="picture", desc="folder", file=sys.stderr, dynamic_ncols=True
            )

    def on_item_start(self, item: Item) -> None:
        if self._bars:
            line = self._free.pop()
            bar = tqdm(
                total=1.0,
                desc=item.name,
                position=line,
                leave=False,
                bar_format="{desc} {percentage:3.0f}%|{bar}|",
                file=sys.stderr,
                dynamic_ncols=True,
            )
            self._items[item] = bar, line

    def on_progress(self, item: Item, job: JobStatus[Any]) -> None:
        at = job.progress
        if item in self._items:
            bar, _ = self._items[item]
            bar.n = min(max(at.fraction, 0.0), 1.0)
            bar.set_description_str(f"{item.name}: {stage_of(job)}", refresh=False)
            bar.refresh()
        elif self._enabled and self._console.json:
            about = {"item": item.name, "job": job.name, "state": job.state, **as_json(at)}
            self._console.result("progress", about, "")

    def on_retry(self, item: Item, error: Exception, seconds: float) -> None:
        with self._above_bars():
            self._console.warning(f"{item.name} waits {seconds:.0f} s: {error}")

    def on_item_end(self, item: Item, entry: Mapping[str, Any]) -> None:
        self._remove_bar(item)
        if self._batch is not None:
            self._batch.update()
        with self._above_bars():
            self._console.result("item", entry, _success_text(entry) if entry["state"] == "succeeded" else "")
            if entry["state"] == "failed" and not self._console.json:
                self._console.warning(_failure_text(entry))

    def on_end(self, report: Report) -> None:
        self.__exit__()
        facts = {**report.facts(), "report": str(report.path)}
        self._console.result("batch", facts, _table(report))

    def _remove_bar(self, item: Item) -> None:
        if item in self._items:
            bar, line = self._items.pop(item)
            bar.close()
            self._free.append(line)

    @contextmanager
    def _above_bars(self) -> Iterator[None]:
        """A context in which a line can be printed without spoiling the bars."""
        with tqdm.external_write_mode(file=sys.stderr) if self._bars else nullcontext():
            yield


def _option(name: str) -> str:
    return "PICTURE" if name == "picture" else f"--{name.replace('_', '-')}"


def _left_out(pairs: Pairs) -> Iterator[str]:
    """A sentence for every file that is left out."""
    for each in pairs.duplicates:
        files = ", ".join([*each["pictures"], *(f"mask {mask}" for mask in each["masks"])])
        yield f"left out: {each['name']} is the name of several files: {files}"
    for clash in pairs.clashes:
        yield f"left out: results of {clash['with']} would be called {clash['name']}, like another picture"
    for picture in pairs.orphans["pictures"] if pairs.orphans else ():
        yield f"left out: {picture} has no mask"
    for mask in pairs.orphans["masks"] if pairs.orphans else ():
        yield f"left out: mask {mask} has no picture"
    for unread in pairs.unread.values():
        for path, why in unread.items():
            yield f"not read: {path}: {why}"


def _success_text(line: Mapping[str, Any]) -> str:
    first = f"{line['files'][0]}: seed {line['seed']}, {line['seconds']:.1f} s"
    return "\n".join([first, *(f"  note: {note}" for note in line["notes"])])


def _failure_text(line: Mapping[str, Any]) -> str:
    field = line.get("field", "")
    about = f"{option_of(field) or field}: " if field and field != "picture" else ""
    return f"{line['item']}: {line['reason']}: {about}{line['message']}"


def _table(report: Report) -> str:
    pairs, counts = report.pairs, report.counts
    rows = [("items", len(pairs.items)), ("succeeded", counts["succeeded"]), ("skipped", counts["skipped"])]
    rows += [("failed", counts["failed"]), *((f"  {why}", n) for why, n in report.reasons.most_common())]
    rows += [("cancelled", counts["cancelled"]), ("left", report.left)]
    rows += [("orphans", sum(map(len, pairs.orphans.values()))), ("duplicates", len(pairs.duplicates))]
    rows += [("clashes", len(pairs.clashes)), ("not read", sum(map(len, pairs.unread.values())))]
    always = ("items", "succeeded", "skipped", "failed")
    lines = [f"  {what:<20}{number:>8}" for what, number in rows if number or what in always]
    each = "" if report.median_seconds is None else f", {report.median_seconds:.2f} s an item (median)"
    return "\n".join([str(report.path), *lines, f"  {'time':<20}{report.seconds:>8.1f} s{each}"])

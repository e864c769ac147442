"""Does a folder complete despite damaged files and a killed client, with flat memory?

    python -m benchmarks.folder --pictures 200 --broken 20

A folder of pictures with masks, some damaged in ten different ways, is processed by
`intarsia fill-region --pictures` in its own process: once undisturbed, and once, into another folder, killed
halfway by SIGKILL and run again. In the first run, memory is measured after every item. Its slope is that of
a straight line fitted to the second half, when allocators have settled; the bar is that over the whole folder
the slope amounts to less than a tenth of the peak. The orchestrator's cache of pictures is limited to 32 MB
here, so that it is full before memory counts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import psutil

import intarsia
from benchmarks import damaged_files
from benchmarks.memory import flatness
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, verdicts
from benchmarks.stack import stack
from deploy.local.stack import Stack
from services.bundles.bundle import Bundle

ENVIRONMENT = {"INTARSIA_PICTURE_MEMORY_MEGABYTES": "32"}


@dataclass
class CommandRun:
    """One run of the command: its output, and the memory of client and orchestrator after every item."""

    seconds: float = 0.0
    exit_code: int | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    batch: dict[str, Any] | None = None
    client: list[int] = field(default_factory=list)  # bytes
    orchestrator: list[int] = field(default_factory=list)


def run_command(
    stack: Stack, root: Path, out: Path, settings: list[str], *, kill_after: int | None = None
) -> CommandRun:
    """Runs the command to its end, or kills it after so many items."""
    folders = ["--pictures", str(root / "imgs"), "--masks", str(root / "masks"), "--inside", "white"]
    command = [sys.executable, "-m", "intarsia", "fill-region", *folders, "--out", str(out), *settings]
    orchestrator, run = psutil.Process(stack.orchestrator.pid), CommandRun()
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--server", stack.address, "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        client = psutil.Process(process.pid)
        assert process.stdout is not None
        for line in process.stdout:
            event = json.loads(line)
            if "batch" in event:
                run.batch = event["batch"]
            if "item" in event:
                run.items.append(event["item"])
                run.client.append(client.memory_info().rss)
                run.orchestrator.append(orchestrator.memory_info().rss)
                if len(run.items) == kill_after:
                    process.kill()
    run.exit_code, run.seconds = process.returncode, time.perf_counter() - started
    return run


def succeeded(stack: Stack) -> int:
    """The number of jobs that succeeded on the server."""
    with intarsia.Client(stack.address) as client:
        return sum(1 for _ in client.list_jobs(states=["succeeded"], page_size=1000))


def twice_and_missing(out: Path, names: set[str]) -> tuple[int, int]:
    """The number of repeated records of done items, and of `names` without a record."""
    lines = [json.loads(line) for line in (out / "report.jsonl").read_text(encoding="ascii").splitlines()]
    done = Counter(line["item"] for line in lines if line.get("state") == "succeeded")
    return sum(times - 1 for times in done.values()), len(names - done.keys())


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--pictures", type=int, default=200)
    parser.add_argument("--broken", type=int, default=20)
    parser.add_argument("--side", type=int, default=768, help="side of the pictures, in pixels")
    parser.add_argument("--steps", type=int, default=4)
    options = parse(parser, argv)
    weights = Bundle.open(options.weights / "sd2_inpaint").digest
    origin = Origin.here(argv, module="benchmarks.folder", threads=options.threads, weights=weights)
    asks = f"A folder of {options.pictures} pictures, {options.broken} of them broken: results, and memory"
    report = BenchmarkReport("folder", asks, origin)
    settings = ["--steps", str(options.steps), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory() as temporary, stack(options, "folder", **ENVIRONMENT) as running:
        root = Path(temporary)
        ways = damaged_files.write(
            root, count=options.pictures, broken=options.broken, side=options.side, seed=options.seed
        )
        names = {f"{number % 8}/{number:04}" for number in range(options.pictures)} - ways.keys()
        for name, kill_after in (("undisturbed", None), ("killed in the middle", options.pictures // 2)):
            out = root / name
            before = succeeded(running)
            parts = []
            if kill_after is not None:
                parts.append(run_command(running, root, out, settings, kill_after=kill_after))
            parts.append(run_command(running, root, out, settings))
            last = parts[-1]
            assert last.batch is not None, "the command ended without its summary"
            twice, missing = twice_and_missing(out, names)
            failed = [item for item in last.items if item["state"] == "failed"]
            explained = sum(bool(item["reason"] and item["message"]) for item in failed)
            figures: dict[str, float | bool] = {}
            if kill_after is None:
                figures |= flatness("client", last.client, each="item")
                figures |= flatness("orchestrator", last.orchestrator, each="item")
            flat = all(figures[name] for name in figures if name.endswith("_flat"))
            whole = (twice, missing, len(failed), explained) == (0, 0, options.broken, options.broken)
            report.add(
                run=name,
                pictures=options.pictures,
                results=len(list(out.rglob("*.png"))),
                skipped=last.batch["counts"]["skipped"],
                explained_errors=explained,
                done_twice=twice,
                missing=missing,
                jobs=succeeded(running) - before,
                seconds=round(sum(part.seconds for part in parts), 1),
                **figures,
                met=whole and flat,
            )
            for item in failed:
                print(f"  {item['item']} ({ways[item['item']]}): {item['reason']}: {item['message']}")
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())

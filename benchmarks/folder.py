"""Does a folder go through whole, whatever is broken in it and whoever is killed, with flat memory?

    python -m benchmarks.folder --pictures 200 --broken 20

A folder of pictures with their masks, some broken in ten different ways, goes through
`intarsia fill-region --pictures` in processes of its own: once undisturbed, and once, into another folder,
killed in the middle by SIGKILL and run again. In the first, memory is looked at after every item. Its slope
is that of the straight line which fits best through the second half, when allocators have settled; the bar
is that over the whole folder it makes less than a tenth of the peak. Pictures that the orchestrator keeps on
purpose, for whoever works on them again, may take 32 MB here, so that they do so before memory counts.
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
from benchmarks import wrecks
from benchmarks.memory import flatness
from benchmarks.options import parsed, parser
from benchmarks.report import Origin, Report, verdicts
from benchmarks.running import stack
from deploy.local.stack import Stack
from services.bundles.bundle import Bundle

KEPT = {"INTARSIA_PICTURE_MEMORY_MEGABYTES": "32"}


@dataclass
class Run:
    """One run of the command: what it said, and the memory of both ends after every item."""

    seconds: float = 0.0
    exit_code: int | None = None
    items: list[dict[str, Any]] = field(default_factory=list)
    batch: dict[str, Any] | None = None
    client: list[int] = field(default_factory=list)  # bytes
    orchestrator: list[int] = field(default_factory=list)


def through(
    stack: Stack, root: Path, out: Path, settings: list[str], *, kill_after: int | None = None
) -> Run:
    """Runs the command to its end, or kills it after so many items."""
    folders = ["--pictures", str(root / "imgs"), "--masks", str(root / "masks"), "--inside", "white"]
    command = [sys.executable, "-m", "intarsia.cli", "fill-region", *folders, "--out", str(out), *settings]
    orchestrator, run = psutil.Process(stack.orchestrator_pid), Run()
    started = time.perf_counter()
    with subprocess.Popen(
        [*command, "--server", stack.address, "--json"], stdout=subprocess.PIPE, text=True
    ) as process:
        client = psutil.Process(process.pid)
        assert process.stdout is not None
        for line in process.stdout:
            said = json.loads(line)
            if "batch" in said:
                run.batch = said["batch"]
            if "item" in said:
                run.items.append(said["item"])
                run.client.append(client.memory_info().rss)
                run.orchestrator.append(orchestrator.memory_info().rss)
                if len(run.items) == kill_after:
                    process.kill()
    run.exit_code, run.seconds = process.returncode, time.perf_counter() - started
    return run


def succeeded(stack: Stack) -> int:
    """Jobs that the server has brought to a good end."""
    with intarsia.Client(stack.address) as client:
        return sum(1 for _ in client.list_jobs(states=["succeeded"], page_size=1000))


def twice_and_missing(out: Path, names: set[str]) -> tuple[int, int]:
    """Items that were written down as done more than once, and those of `names` that never were."""
    lines = [json.loads(line) for line in (out / "report.jsonl").read_text(encoding="ascii").splitlines()]
    done = Counter(line["item"] for line in lines if line.get("state") == "succeeded")
    return sum(times - 1 for times in done.values()), len(names - done.keys())


def main(argv: list[str] | None = None) -> int:
    made = parser(__doc__)
    made.add_argument("--pictures", type=int, default=200)
    made.add_argument("--broken", type=int, default=20)
    made.add_argument("--side", type=int, default=768, help="of the pictures, in pixels")
    made.add_argument("--steps", type=int, default=4)
    options = parsed(made, argv)
    weights = Bundle.open(options.weights / "sd2_inpaint").digest
    origin = Origin.here(argv, module="benchmarks.folder", threads=options.threads, weights=weights)
    asks = f"A folder of {options.pictures} pictures, {options.broken} of them broken: results, and memory"
    report = Report("folder", asks, origin)
    settings = ["--steps", str(options.steps), "--seed", str(options.seed)]
    with tempfile.TemporaryDirectory() as place, stack(options, "folder", **KEPT) as running:
        root = Path(place)
        ways = wrecks.write(
            root, count=options.pictures, broken=options.broken, side=options.side, seed=options.seed
        )
        names = {f"{number % 8}/{number:04}" for number in range(options.pictures)} - ways.keys()
        for name, kill_after in (("undisturbed", None), ("killed in the middle", options.pictures // 2)):
            out = root / name
            before = succeeded(running)
            parts = []
            if kill_after is not None:
                parts.append(through(running, root, out, settings, kill_after=kill_after))
            parts.append(through(running, root, out, settings))
            last = parts[-1]
            assert last.batch is not None, "the command ended without its last word"
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

"""Reports: results with their origin, that is commit, machine, weights and command.

Percentiles, not means: one slow request in a hundred matters to its user. Results go to
`results/<question>.json` and, as a table, to `results/<question>.md`.
"""

from __future__ import annotations

import json
import math
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from pathlib import Path

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "benchmarks/results"

Value = str | int | float | bool | None


@dataclass(frozen=True)
class Origin:
    """The origin of results."""

    commit: str
    device: str
    cores: int
    threads: int
    weights: str
    command: str
    load: float  # processes that wanted a core when the measurement began; above `cores`, times are noise
    time: str

    @classmethod
    def here(cls, argv: Sequence[str] | None, *, module: str, threads: int, weights: str) -> Origin:
        """This checkout on this machine, now. `argv` as given to `main`: None for the command line's."""
        argv = sys.argv[1:] if argv is None else argv
        return cls(
            commit=_commit(),
            device=processor(),
            cores=len(os.sched_getaffinity(0)),
            threads=threads,
            weights=weights[:12],
            command=shlex.join(["python", "-m", module, *argv]),
            load=round(os.getloadavg()[0], 1),
            time=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        )


@dataclass
class BenchmarkReport:
    """The results for one question, line by line."""

    question: str  # the name of its files
    asks: str  # the question in words, the table's heading
    origin: Origin
    lines: list[dict[str, Value]] = field(default_factory=list)

    def add(self, **figures: Value) -> None:
        """Adds a line to the table, and prints it."""
        self.lines.append(figures)
        print("  ".join(f"{name}={_shown(value)}" for name, value in figures.items()), flush=True)

    def write(self, folder: Path = RESULTS) -> Path:
        """Writes both files to a folder; returns the path of the table."""
        folder.mkdir(parents=True, exist_ok=True)
        origin = asdict(self.origin)
        lines = [{**line, **origin} for line in self.lines]
        facts = {"question": self.question, "asks": self.asks, "lines": lines}
        (folder / f"{self.question}.json").write_text(json.dumps(facts, indent=1) + "\n", encoding="utf-8")
        page = folder / f"{self.question}.md"
        page.write_text(self.as_markdown(), encoding="utf-8")
        return page

    def as_markdown(self) -> str:
        """Heading, table, and the origin below it."""
        columns = list(dict.fromkeys(name for line in self.lines for name in line))
        rows = [[_shown(line.get(name)) for name in columns] for line in self.lines]
        table = [columns, ["---"] * len(columns), *rows]
        origin = "\n".join(f"- {name}: `{value}`" for name, value in asdict(self.origin).items())
        return f"# {self.asks}\n\n" + "".join(f"| {' | '.join(row)} |\n" for row in table) + f"\n{origin}\n"


def percentile(values: Sequence[float], share: float) -> float:
    """The percentile for a `share` in [0, 1], linearly interpolated."""
    if not values:
        raise ValueError("no values have no percentile")
    if not 0 <= share <= 1:
        raise ValueError(f"a share must be in [0, 1], got {share}")
    ordered = sorted(values)
    place = share * (len(ordered) - 1)
    below = math.floor(place)
    above = min(below + 1, len(ordered) - 1)
    return ordered[below] + (ordered[above] - ordered[below]) * (place - below)


def median(values: Sequence[float]) -> float:
    """The median."""
    return percentile(values, 0.5)


def median_interval(values: Sequence[float], confidence: float = 0.95) -> tuple[float, float]:
    """The interval that holds the true median with at least this confidence, from the values' ranks alone."""
    count = len(values)
    ordered, tail, low = sorted(values), 0.0, 0
    # The chance that fewer than `low + 1` of the values lie below the median, two-sided.
    while low < (count - 1) // 2 and 2 * (tail + math.comb(count, low) / 2**count) <= 1 - confidence:
        tail += math.comb(count, low) / 2**count
        low += 1
    low = max(low - 1, 0)
    return ordered[low], ordered[count - 1 - low]


def milliseconds(seconds: Sequence[float], *shares: float, name: str = "") -> dict[str, Value]:
    """Percentiles of times in milliseconds: {"p50_ms": ...}; None if there are no times."""
    before = f"{name}_" if name else ""
    return {
        f"{before}p{share * 100:g}_ms": round(percentile(seconds, share) * 1e3, 2) if seconds else None
        for share in shares
    }


def verdicts(lines: Sequence[Mapping[str, Value]]) -> bool:
    """True unless a line missed its bar."""
    return all(line.get("met") is not False for line in lines)


def processor() -> str:
    """The processor's name."""
    for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def _shown(value: Value) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.4g}" if isinstance(value, float) else str(value)


def _commit() -> str:
    """The commit, with a + if the code on disk differs from it; results are not compared."""
    head = ["git", "-C", str(ROOT), "rev-parse", "--short=12", "HEAD"]
    packages = [
        "canvas",
        "store",
        "intarsia",
        "orchestrator",
        "services",
        "model_repository",
        "deploy",
        "training",
    ]
    code = [*packages, "benchmarks/*.py"]
    changed = ["git", "-C", str(ROOT), "status", "--porcelain", "--untracked-files=no", "--", *code]
    try:
        name = subprocess.run(head, check=True, capture_output=True, text=True).stdout.strip()
        dirty = subprocess.run(changed, check=True, capture_output=True, text=True).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return name + ("+" if dirty else "")

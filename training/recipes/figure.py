"""Figures: measured numbers with their minimum and goal."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass

import numpy as np

Row = Mapping[str, float]  # the measurements of one sample, by name; not every sample has every name


@dataclass(frozen=True)
class Figure:
    """One measured number. Without a minimum it is for information only.

    `conditions` says what it was measured on; `side` is the working size, in pixels, if it is promised for
    that; `fact` is the name by which the model tells it, if it does.
    """

    metric: str
    value: float
    minimum: float | None = None
    goal: float | None = None
    unit: str = ""
    least: bool = False  # true where smaller is better
    conditions: str = ""
    side: int | None = None
    fact: str = ""

    @property
    def verdict(self) -> str:
        if self.minimum is None:
            return ""
        sign = -1 if self.least else 1
        if sign * self.value >= sign * self.goal:
            return "goal"
        return "reached" if sign * self.value >= sign * self.minimum else "under"

    def row(self) -> tuple[str, ...]:
        return (self.metric, *(self._shown(x) for x in (self.value, self.minimum, self.goal)), self.verdict)

    def plain(self) -> dict:
        """The figure as JSON values, for a card."""
        return {**asdict(self), "value": round(self.value, 4), "verdict": self.verdict}

    def _shown(self, value: float | None) -> str:
        if value is None:
            return ""
        if self.unit == "%":
            return f"{value:.1%}".replace("%", " %")
        return f"{value:.2f} {self.unit}" if self.unit else f"{value:.3f}"


def tally(rows: Sequence[Row], by: Callable[[list[float]], float] = np.mean) -> dict[str, float]:
    """The mean, or another statistic, of the rows' values of each name."""
    names = dict.fromkeys(name for row in rows for name in row)
    return {name: float(by([row[name] for row in rows if name in row])) for name in names}


HEADINGS = ("metric", "figure", "minimum", "goal", "")


def table(figures: list[Figure]) -> str:
    """A Markdown table, aligned so that it reads well in a terminal too."""
    rows = [HEADINGS, *(figure.row() for figure in figures)]
    widths = [max(len(row[column]) for row in rows) for column in range(len(HEADINGS))]
    lines = [
        "| " + " | ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)) + " |"
        for row in rows
    ]
    return "\n".join([lines[0], "|" + "|".join("-" * (width + 2) for width in widths) + "|", *lines[1:]])

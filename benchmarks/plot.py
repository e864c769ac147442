"""Plots: lines through measured points, as SVG, without a library."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape

Points = Sequence[tuple[float, float]]

_WIDTH, _HEIGHT = 760, 440
_LEFT, _RIGHT, _TOP, _BOTTOM = 80, 150, 48, 64
_COLOURS = ("#1f5fa8", "#c2571a", "#3a7d44", "#7b4ea3", "#8a8a8a")
_MARKS = 6
_LINE = 14  # distance between lines of text


def lines(
    title: str,
    series: Mapping[str, Points],
    *,
    across: str,
    up: str,
    doubling: bool = False,
    limits: Mapping[str, float] | None = None,
    below: str = "",
) -> str:
    """An SVG with one line for every series, labelled at its end; `across` and `up` label the axes.

    With `doubling`, the horizontal axis is logarithmic. `limits` are drawn as horizontal lines. `below` is
    small print. The vertical axis begins at 0.
    """
    limits = limits or {}
    points = [point for line in series.values() for point in line]
    if not points:
        raise ValueError("there is nothing to plot")
    scale = math.log2 if doubling else float
    starts = sorted({x for x, _ in points})
    low, high = scale(starts[0]), scale(starts[-1])
    marks = _round_marks(max([y for _, y in points] + list(limits.values())))

    def x_of(x: float) -> float:
        share = (scale(x) - low) / (high - low) if high > low else 0.5
        return _LEFT + share * (_WIDTH - _LEFT - _RIGHT)

    def y_of(y: float) -> float:
        return _HEIGHT - _BOTTOM - y / marks[-1] * (_HEIGHT - _TOP - _BOTTOM)

    drawn = [_text(_LEFT, 26, title, size=15, weight="bold")]
    for mark in marks:
        drawn.append(_line((_LEFT, y_of(mark)), (_WIDTH - _RIGHT, y_of(mark)), "#dddddd"))
        drawn.append(_text(_LEFT - 8, y_of(mark) + 4, f"{mark:g}", anchor="end"))
    for x in starts:
        drawn.append(_text(x_of(x), _HEIGHT - _BOTTOM + 18, f"{x:g}", anchor="middle"))
    drawn.append(_text((_LEFT + _WIDTH - _RIGHT) / 2, _HEIGHT - _BOTTOM + 38, across, anchor="middle"))
    drawn.append(_text(_LEFT, _TOP - 8, up))
    names: list[tuple[float, float, str, str]] = []  # and where the line ends that each belongs to
    for name, level in limits.items():
        drawn.append(_line((_LEFT, y_of(level)), (_WIDTH - _RIGHT, y_of(level)), "#444444", dashes="5 4"))
        names.append((_WIDTH - _RIGHT, y_of(level), name, "#222222"))
    for (name, line), colour in zip(series.items(), _COLOURS, strict=False):
        places = [(x_of(x), y_of(y)) for x, y in sorted(line)]
        path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
        drawn.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"/>')
        drawn += [f'<circle cx="{x:.1f}" cy="{y:.1f}" r="3" fill="{colour}"/>' for x, y in places]
        names.append((*places[-1], name, colour))
    lowest = -math.inf
    for x, y, name, colour in sorted(names, key=lambda end: end[1]):
        lowest = max(y, lowest + _LINE)  # beside its line's end, or right below the name above it
        drawn.append(_text(x + 8, lowest + 4, name, colour=colour))
    drawn.append(_text(_LEFT, _HEIGHT - 8, below, size=10, colour="#666666"))
    size = f'width="{_WIDTH}" height="{_HEIGHT}" viewBox="0 0 {_WIDTH} {_HEIGHT}"'
    head = f'<svg xmlns="http://www.w3.org/2000/svg" {size} font-family="sans-serif" font-size="12">'
    ground = f'<rect width="{_WIDTH}" height="{_HEIGHT}" fill="white"/>'
    return "\n".join((head, ground, *drawn, "</svg>")) + "\n"


def _round_marks(most: float) -> list[float]:
    """Round numbers from 0 to `most` or a little more."""
    rough = (most or 1.0) / _MARKS
    power = 10 ** math.floor(math.log10(rough))
    step = next(factor * power for factor in (1, 2, 2.5, 5, 10) if factor * power >= rough * 0.999)
    return [step * n for n in range(math.ceil(most / step - 1e-9) + 1)] if most > 0 else [0.0, step]


def _text(
    x: float,
    y: float,
    words: str,
    *,
    anchor: str = "start",
    size: int = 12,
    weight: str = "normal",
    colour: str = "#222222",
) -> str:
    style = f'text-anchor="{anchor}" font-size="{size}" font-weight="{weight}" fill="{colour}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def _line(start: tuple[float, float], end: tuple[float, float], colour: str, dashes: str = "none") -> str:
    (x1, y1), (x2, y2) = start, end
    where = f'x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}"'
    return f'<line {where} stroke="{colour}" stroke-dasharray="{dashes}"/>'

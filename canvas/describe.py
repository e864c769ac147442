"""Describes selectors in plain words, for error messages."""

from __future__ import annotations

from collections.abc import Sequence

from canvas.region import Box, Clicks, Combination, Polygon, Selector, Words

# Error messages have to stay short: at most so many parts are named, with so many letters each.
_MOST, _LETTERS = 4, 60


def describe(selector: Selector) -> str:
    """The selector in plain words."""
    if isinstance(selector, Words):
        return f"the words {_quoted(selector.phrase)} ({'; '.join(_conditions(selector))})"
    if isinstance(selector, Combination):
        return _terms(selector)
    return _brief(selector)


def _conditions(words: Words) -> list[str]:
    conditions = [f"threshold {words.threshold:g}"]
    if words.not_phrases:
        conditions.append(f"not {_some([_quoted(phrase) for phrase in words.not_phrases])}")
    if words.not_at:
        conditions.append(f"not at {_some([describe_point(x, y) for x, y in words.not_at])}")
    return conditions


def _terms(combination: Combination) -> str:
    first, *others = combination.terms[:_MOST]
    parts = [_brief(first.region.selector)]
    parts += [f"{term.operation.value} {_brief(term.region.selector)}" for term in others]
    if len(combination.terms) > _MOST:
        parts.append(f"and {len(combination.terms) - _MOST} more")
    return " ".join(parts)


def _brief(selector: Selector) -> str:
    """The selector in a few words."""
    if isinstance(selector, Words):
        return f"the words {_quoted(selector.phrase)}"
    if isinstance(selector, Combination):
        return f"{len(selector.terms)} regions combined"
    if isinstance(selector, Clicks):
        where = _some([describe_point(click.x, click.y) for click in selector.clicks if not click.outside])
        return f"the click at {where}" if len(selector.clicks) == 1 else f"clicks at {where}"
    if isinstance(selector, Box):
        corners = (selector.left, selector.top), (selector.right, selector.bottom)
        return f"the box {' to '.join(describe_point(*corner) for corner in corners)}"
    return "the polygon" if isinstance(selector, Polygon) else "the mask picture"


def _some(parts: Sequence[str]) -> str:
    """The first few of the parts, and how many more there are."""
    more = [f"{len(parts) - _MOST} more"] if len(parts) > _MOST else []
    return ", ".join([*parts[:_MOST], *more])


def _quoted(phrase: str) -> str:
    return f"“{phrase}”" if len(phrase) <= _LETTERS else f"“{phrase[:_LETTERS]}…”"


def describe_point(x: float, y: float) -> str:
    """A point in plain words."""
    return f"({x:g}, {y:g})"

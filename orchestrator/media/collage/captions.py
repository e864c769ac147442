"""Captions: text below the panels of a collage, in any script.

The first font draws the most common scripts; the second, a bitmap font, draws all others.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from canvas.collage import Grid
from orchestrator.media.picture.picture import in_depth

_COLOUR = (31, 37, 41)
_FONTS = ("wenquanyi-micro-hei.ttf", "unifont.otf")
_FOLDER = Path(__file__).parent / "fonts"
# Not a character: a font draws for it what it draws for every character it lacks.
_NONE = "\uffff"
# Replaces characters that no font draws.
_UNKNOWN = "\ufffd"


def draw_captions(captions: tuple[str, ...], grid: Grid, dtype: np.dtype) -> np.ndarray:
    """Draws the strip below a row of panels, (strip, sheet width, 3), each caption centred under its panel.

    A caption wider than its panel is drawn smaller, and cut off if even the smallest size is too wide.
    """
    sheet = Image.new("RGB", (grid.sheet_width, grid.strip), "white")
    for caption, left in zip(captions, grid.lefts, strict=True):
        runs = _runs(" ".join(caption.split()))
        size = grid.font_size
        while size > 1 and (length := _length(runs, size)) > grid.width:
            size = max(1, min(size - 1, int(size * grid.width / length)))
        panel = Image.new("RGB", (grid.width, grid.strip), "white")
        pen = ImageDraw.Draw(panel)
        above, below = _font(_FONTS[0], size).getmetrics()
        baseline = (grid.strip + above - below) / 2
        across = (grid.width - _length(runs, size)) / 2
        for font, text in runs:
            pen.text((across, baseline), text, _COLOUR, _font(font, size), anchor="ls")
            across += _font(font, size).getlength(text)
        sheet.paste(panel, (left, 0))
    return in_depth(np.asarray(sheet), dtype)


def _runs(caption: str) -> list[tuple[str, str]]:
    """A caption as pieces of one font each, with the font's name. A font is kept as long as possible."""
    runs: list[tuple[str, str]] = []
    for character in caption:
        drawn = character if any(_draws(font, character) for font in _FONTS) else _UNKNOWN
        fonts = (runs[-1][0], *_FONTS) if runs else _FONTS
        font = next(font for font in fonts if _draws(font, drawn))
        before = runs.pop()[1] if runs and runs[-1][0] == font else ""
        runs.append((font, before + drawn))
    return runs


@lru_cache(maxsize=4096)
def _draws(font: str, character: str) -> bool:
    """True if a font has a glyph for a character."""
    small = _font(font, 16)
    return bytes(small.getmask(character)) != bytes(small.getmask(_NONE))


def _length(runs: list[tuple[str, str]], size: int) -> float:
    return sum(_font(font, size).getlength(text) for font, text in runs)


@lru_cache(maxsize=32)
def _font(name: str, size: int) -> ImageFont.FreeTypeFont:
    return ImageFont.truetype(str(_FOLDER / name), size)

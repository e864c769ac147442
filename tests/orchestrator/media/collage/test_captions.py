import unicodedata

import numpy as np
import pytest

from canvas.collage import Grid
from orchestrator.media.collage.captions import _FONTS, _draws, _runs, draw_captions

GRID = Grid(300, 400, 1, captioned=True)
SCRIPTS = {
    "Latin": "Größe, coração",
    "Cyrillic": "Оригинал",
    "Greek": "Αρχικό",
    "Chinese": "修复结果 修復結果",
    "Japanese": "けっか カラー",
    "Korean": "결과",
    "Arabic": "النتيجة",
    "Hebrew": "תוצאה",
    "Devanagari": "परिणाम",
    "Thai": "ผลลัพธ์",
    "Ethiopic": "ውጤት",
}


def drawn(*captions: str, grid: Grid = GRID, dtype: type = np.uint8) -> list[np.ndarray]:
    """What stands under each panel."""
    sheet = draw_captions(captions, grid, np.dtype(dtype))
    assert sheet.shape == (grid.strip, grid.sheet_width, 3) and sheet.dtype == dtype
    return [sheet[:, left : left + grid.width] for left in grid.lefts]


def columns(panel: np.ndarray) -> np.ndarray:
    return np.flatnonzero((panel < 128).any(axis=(0, 2)))


@pytest.mark.parametrize("words", SCRIPTS.values(), ids=SCRIPTS)
def test_every_script_is_drawn(words):
    assert all(any(_draws(font, character) for font in _FONTS) for character in words)
    missing = "".join("\uffff" if one.isalpha() else one for one in words)
    word, boxes, _ = drawn(words, missing, "")
    assert columns(word).size and not np.array_equal(word, boxes)


def test_every_character_of_the_basic_plane_has_a_shape():
    assigned = [
        chr(code)
        for code in range(0x20, 0x10000)
        if unicodedata.category(chr(code)) not in ("Cn", "Cs", "Co", "Cc", "Zl", "Zp")
    ]
    assert len(assigned) > 50_000
    assert [one for one in assigned[::5] if not any(_draws(font, one) for font in _FONTS)] == []


def test_a_caption_stands_in_the_middle_below_its_panel():
    for panel in drawn("Original", "修复", "Seed 7"):
        found = columns(panel)
        assert abs((found[0] + found[-1]) / 2 - GRID.width / 2) <= 3
        rows = np.flatnonzero((panel < 128).any(axis=(1, 2)))
        assert abs((rows[0] + rows[-1]) / 2 - GRID.strip / 2) <= 5


@pytest.mark.parametrize("width", [1, 20, 300])
def test_nothing_is_drawn_between_panels(width):
    grid = Grid(width, 400, 1, captioned=True)
    sheet = draw_captions(("W" * 200, "修" * 200, "ש" * 200), grid, np.dtype(np.uint8))
    for left in grid.lefts[1:]:
        assert (sheet[:, left - grid.spacing.horizontal : left] == 255).all()


def test_a_long_caption_is_drawn_smaller():
    short, longer, longest = (columns(panel) for panel in drawn("m" * 5, "m" * 40, "m" * 60))
    assert longer[-1] - longer[0] > 0.8 * GRID.width and longest[-1] - longest[0] > 0.8 * GRID.width
    assert short[-1] - short[0] < GRID.width / 2


def test_captions_are_dark_on_white_in_every_depth():
    eight, *_ = drawn("M", "M", "M", grid=Grid(900, 2000, 1, captioned=True))
    assert tuple(eight.reshape(-1, 3).min(axis=0)) == (31, 37, 41) and eight.max() == 255
    sixteen, *_ = drawn("M", "M", "M", grid=Grid(900, 2000, 1, captioned=True), dtype=np.uint16)
    assert np.array_equal(sixteen, eight.astype(np.uint16) * 257)


def test_a_font_is_kept_as_long_as_it_has_the_characters():
    plain, rest = _FONTS
    assert _runs("Seed 7 修复") == [(plain, "Seed 7 修复")]
    assert _runs("עברית 7, 8") == [(rest, "עברית 7, 8")]
    assert _runs("Seed ת 修") == [(plain, "Seed "), (rest, "ת "), (plain, "修")]
    assert _runs("") == []


def test_a_character_no_font_has_becomes_the_replacement_character():
    ((font, sign),) = _runs("\U0001f600")
    assert sign == "\ufffd" and _draws(font, sign)
    face, question, _ = drawn("\U0001f600", "\ufffd", "")
    assert columns(face).size and np.array_equal(face, question)


@pytest.mark.parametrize("code", [*range(0x20), *range(0x7F, 0xA0), 0x2028, 0x2029, 0x202E, 0x2067, 0xFEFF])
def test_no_character_breaks_the_line(code):
    _, within, plain = drawn(chr(code), f"a{chr(code)}b", "ab")
    assert columns(within).size >= columns(plain).size

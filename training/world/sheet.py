"""Contact sheets: rows of pictures side by side, to look at with one's own eyes."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np


def write_sheet(path: Path, rows: list[list[np.ndarray]], gap: int = 2) -> None:
    """Rows of equally large pictures (uint8 RGB, or masks in [0, 1]) as one PNG."""
    drawn = [[_as_picture(cell) for cell in row] for row in rows]
    height, width = drawn[0][0].shape[:2]
    columns = max(len(row) for row in drawn)
    sheet = np.full((len(drawn) * (height + gap), columns * (width + gap), 3), 255, np.uint8)
    for line, row in enumerate(drawn):
        for place, cell in enumerate(row):
            top, left = line * (height + gap), place * (width + gap)
            sheet[top : top + height, left : left + width] = cell
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), sheet[..., ::-1])


def outlined(pixels: np.ndarray, mask: np.ndarray, colour: tuple[int, int, int] = (255, 0, 0)) -> np.ndarray:
    """A copy of a picture with the border of a mask drawn on it."""
    inside = (np.asarray(mask) > 0.5).astype(np.uint8)
    border = cv2.dilate(inside, np.ones((3, 3), np.uint8)) > inside
    marked = pixels.copy()
    marked[border] = colour
    return marked


def _as_picture(cell: np.ndarray) -> np.ndarray:
    cell = np.asarray(cell)
    if cell.ndim == 2:
        cell = np.repeat(cell[..., None].astype(np.float32), 3, axis=2)
    return cell if cell.dtype == np.uint8 else (np.clip(cell, 0, 1) * 255 + 0.5).astype(np.uint8)

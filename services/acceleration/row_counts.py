"""The numbers of rows that passes are padded to, so that few shapes need graphs."""

from __future__ import annotations

import bisect

import torch
from torch import Tensor

# A pass is padded by a fifth at most, and whole requests of two or three branches mostly not at all.
ROWS = (1, 2, 3, 4, 6, 8, 9, 12, 15, 18, 21, 24, 30, 36, 42, 48)


def padded_rows(rows: int) -> int | None:
    """The number of rows that a pass of so many is padded to; None beyond the largest.

    There the layers take so long that launching them costs nothing.
    """
    place = bisect.bisect_left(ROWS, rows)
    return ROWS[place] if place < len(ROWS) else None


def padded(rows: Tensor, number: int) -> Tensor:
    """The rows, and the last one repeated until there are so many."""
    missing = number - len(rows)
    return rows if missing == 0 else torch.cat([rows, rows[-1:].expand(missing, *rows.shape[1:])])

"""The numbers of rows that passes are padded to."""

from __future__ import annotations

import torch

from services.acceleration.row_counts import ROWS, padded, padded_rows


def test_a_pass_is_padded_by_a_fifth_at_most():
    for rows in range(1, ROWS[-1] + 1):
        assert rows <= padded_rows(rows) <= rows * 1.2


def test_a_pass_of_more_rows_than_the_largest_count_is_not_padded():
    assert padded_rows(ROWS[-1] + 1) is None


def test_padding_repeats_the_last_row():
    rows = torch.tensor([[1.0, 2.0], [3.0, 4.0]])
    assert padded(rows, 4).tolist() == [[1.0, 2.0], [3.0, 4.0], [3.0, 4.0], [3.0, 4.0]]
    assert padded(rows, 2) is rows

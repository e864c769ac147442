"""Chooses the trajectories that share the next forward pass, and runs it."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterator, Sequence

from torch import Tensor

from services.denoising.family import BatchRow, Family
from services.denoising.trajectory import Trajectory


def next_batch(running: Sequence[Trajectory], rows_for: Callable[[int], int]) -> list[Trajectory]:
    """The trajectory that waited longest, and others with its key while sharing a pass still pays.

    Taking the longest wait first makes the loop fair: between two steps of one trajectory every other one
    gets its turn, whatever its size. `rows_for` returns how many rows are worth a pass at a row's work; a
    trajectory that alone has more still gets its pass.

    A reproducible trajectory steps alone. Its passes then always have the same shape, and with it the
    same order of sums in every layer: the same bytes, whatever else is running.
    """
    by_turn = sorted(running, key=lambda trajectory: trajectory.turn)
    leader = by_turn[0]
    if leader.request.reproducible:
        return [leader]
    key, limit = leader.key, rows_for(leader.work)
    batch, rows = [leader], len(leader.request.branches)
    for trajectory in by_turn[1:]:
        fits = not trajectory.request.reproducible and trajectory.key == key
        if fits and rows + len(trajectory.request.branches) <= limit:
            batch.append(trajectory)
            rows += len(trajectory.request.branches)
    return batch


def predict_batch(
    family: Family, batch: Sequence[Trajectory], most_rows: int | None = None
) -> list[list[Tensor]]:
    """The predictions for each trajectory's rows; one forward pass for each key among them, or several where
    a pass may have no more than `most_rows`."""
    rows = [trajectory.rows() for trajectory in batch]
    by_key: dict[Hashable, list[BatchRow]] = {}
    for row in (row for own in rows for row in own):
        by_key.setdefault(row.key, []).append(row)
    predicted = {key: _predictions(family, together, most_rows) for key, together in by_key.items()}
    return [[next(predicted[row.key]) for row in own] for own in rows]


def _predictions(family: Family, rows: Sequence[BatchRow], most_rows: int | None) -> Iterator[Tensor]:
    if most_rows is None:
        return iter(family.predict(rows))
    parts = (rows[first : first + most_rows] for first in range(0, len(rows), most_rows))
    return iter([prediction for part in parts for prediction in family.predict(part)])

"""Chooses the trajectories that share the next forward pass, and runs it."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Hashable, Iterator, Sequence

from torch import Tensor

from services.denoising.family import BatchRow, Family
from services.denoising.trajectory import Trajectory

Choose = Callable[[Trajectory, Sequence[int]], int]  # the leader, and numbers of rows in rising order


def next_batch(running: Sequence[Trajectory], choose: Choose) -> list[Trajectory]:
    """The trajectory that waited longest, and as many after it with its key as `choose` wants.

    Taking the longest wait first makes the loop fair: between two steps of one trajectory every other one
    gets its turn, whatever its size. `choose` gets the leader and the numbers of rows that the pass may have,
    the first of them the leader's own, and returns one of them.

    A reproducible trajectory steps alone. Its passes then always have the same shape, and with it the
    same order of sums in every layer: the same bytes, whatever else is running.
    """
    by_turn = sorted(running, key=lambda trajectory: trajectory.turn)
    leader = by_turn[0]
    if leader.request.reproducible:
        return [leader]
    key = leader.key
    batch = [leader]
    batch += [other for other in by_turn[1:] if not other.request.reproducible and other.key == key]
    counts = list(itertools.accumulate(len(trajectory.request.branches) for trajectory in batch))
    return batch[: counts.index(choose(leader, counts)) + 1]


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

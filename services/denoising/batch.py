"""Who steps next, together with whom."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from services.denoising.trajectory import Trajectory


def next_batch(live: Sequence[Trajectory], rows_for: Callable[[int], int]) -> list[Trajectory]:
    """Whoever waited longest leads; others of its kind join while sharing a pass still pays.

    Leading by waiting time is what makes the loop fair: between two steps of one trajectory every other
    one gets its turn, whatever its size. `rows_for` tells how many rows are worth a pass at a latent
    area; a trajectory that alone has more still gets its pass.

    A reproducible trajectory steps alone. Its passes then always have the same shape, and with it the
    same order of sums in every layer: the same bytes, whatever else is going on.
    """
    by_turn = sorted(live, key=lambda trajectory: trajectory.turn)
    leader = by_turn[0]
    if leader.request.reproducible:
        return [leader]
    _, height, width = leader.request.latents
    limit = rows_for(height * width)
    batch, rows = [leader], leader.rows
    for trajectory in by_turn[1:]:
        fits = trajectory.kind == leader.kind and not trajectory.request.reproducible
        if fits and rows + trajectory.rows <= limit:
            batch.append(trajectory)
            rows += trajectory.rows
    return batch

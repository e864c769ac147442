"""Plans the passes of a step loop: who shares the next one, within memory, and how long it should take."""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass

from services.acceleration.passes import Passes
from services.denoising.batch import next_batch
from services.denoising.costs import Costs, Kind
from services.denoising.memory_guard import MemoryGuard
from services.denoising.queue import AdmissionQueue, EngineLimits, Entry
from services.denoising.trajectory import Trajectory


@dataclass(frozen=True, eq=False)
class PlannedPass:
    """The next pass. Its kind and shape are those before its steps are taken, which may change both."""

    entries: tuple[Entry, ...]  # the leader first
    rows: int
    kind: Kind
    shape: Hashable
    seconds: float  # that it should take, with the hooks after it
    is_price: bool  # False if hooks that cost something are part of its time

    @property
    def batch(self) -> list[Trajectory]:
        return [entry.trajectory for entry in self.entries]


class PassPlanner:
    """Chooses passes by what they cost, and learns from those that were taken."""

    def __init__(
        self,
        costs: Costs,
        queue: AdmissionQueue,
        limits: EngineLimits,
        guard: MemoryGuard,
        passes: Passes,
    ) -> None:
        self._costs, self._queue, self._limits = costs, queue, limits
        self._guard, self._passes = guard, passes

    def next_pass(self, running: Sequence[Entry]) -> PlannedPass:
        """The next pass of these entries, of which there is at least one."""
        self._limit_graphs(running)
        entries = {id(entry.running): entry for entry in running}
        batch = next_batch([entry.trajectory for entry in running], self._choose_rows)
        leader, rows = batch[0], sum(len(trajectory.request.branches) for trajectory in batch)
        hooks = sum(self._costs.hook_seconds(trajectory.request) for trajectory in batch)
        return PlannedPass(
            entries=tuple(entries[id(trajectory)] for trajectory in batch),
            rows=rows,
            kind=_kind(leader),
            shape=leader.key[0],
            seconds=self._costs.seconds_for(rows, leader.work) + hooks,
            is_price=not any(hook.work for trajectory in batch for hook in trajectory.request.after),
        )

    def observe(self, planned: PlannedPass, seconds: float) -> None:
        """Takes into account how long a pass took."""
        if planned.is_price:
            self._costs.observe(planned.kind, planned.rows, seconds, planned.shape)

    def _limit_graphs(self, running: Sequence[Entry]) -> None:
        """Lets graphs of passes keep what no request needs."""
        free = self._queue.free_bytes() - max(entry.step_bytes for entry in running)
        self._passes.limit(max(min(free, self._limits.graphs), 0))

    def _choose_rows(self, leader: Trajectory, counts: Sequence[int]) -> int:
        """The number of rows of the next pass, as far as memory goes."""
        work = leader.work
        free = self._queue.free_bytes() - self._passes.nbytes
        most, within_memory = free // self._costs.bytes_for(1, work), self._guard.most_rows(work)
        most = most if within_memory is None else min(most, within_memory)
        fitting = [rows for rows in counts if rows <= most] or counts[:1]
        return self._costs.choose(_kind(leader), fitting, leader.key[0])


def _kind(trajectory: Trajectory) -> Kind:
    return Kind(trajectory.work, trajectory.request.eager)

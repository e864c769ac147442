"""Metrics of a step loop for Prometheus, through Triton's own metrics endpoint.

Triton counts only how long `execute` took, which for a model that replies step by step means nothing.
"""

from __future__ import annotations

from typing import Any

import triton_python_backend_utils as pb

_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
_ROWS = [1.0, 2.0, 3.0, 6.0, 9.0, 12.0, 18.0, 24.0, 36.0, 48.0]
_ENDS = ("finished", "cancelled", "expired", "failed", "refused")


class EngineMeter:
    """The step loop's figures, labelled with the model's name."""

    def __init__(self, model: str) -> None:
        labels = {"model": model}
        # Triton drops a metric family as soon as no reference to it is held.
        self._families: list[Any] = []
        self._running = self._gauge("running", "Trajectories stepping", labels)
        self._waiting = self._gauge("waiting", "Trajectories waiting to step", labels)
        self._passes = self._metric("steps", "Forward passes", pb.MetricFamily.COUNTER, labels)
        self._rows = self._histogram("rows", "Rows per forward pass", labels, _ROWS)
        self._shared = self._metric(
            "trajectory_steps",
            "Steps taken, counted once for each trajectory",
            pb.MetricFamily.COUNTER,
            labels,
        )
        self._seconds = self._histogram("step_seconds", "Time of a step", labels, _SECONDS)
        ends = self._family("ended", "Trajectories by how they ended", pb.MetricFamily.COUNTER)
        self._ended = {how: ends.Metric(labels={**labels, "how": how}) for how in _ENDS}

    def under_way(self, running: int, waiting: int) -> None:
        """The number of trajectories that step, and of those that wait."""
        self._running.set(running)
        self._waiting.set(waiting)

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        """A forward pass and all that belongs to it."""
        self._passes.increment(1)
        self._shared.increment(trajectories)
        self._rows.observe(rows)
        self._seconds.observe(seconds)

    def ended(self, how: str) -> None:
        """A trajectory left the loop."""
        self._ended[how].increment(1)

    def _family(self, name: str, description: str, kind: Any) -> Any:
        family = pb.MetricFamily(name=f"intarsia_engine_{name}", description=description, kind=kind)
        self._families.append(family)
        return family

    def _metric(self, name: str, description: str, kind: Any, labels: dict[str, str]) -> Any:
        return self._family(name, description, kind).Metric(labels=labels)

    def _gauge(self, name: str, description: str, labels: dict[str, str]) -> Any:
        return self._metric(name, description, pb.MetricFamily.GAUGE, labels)

    def _histogram(self, name: str, description: str, labels: dict[str, str], buckets: list[float]) -> Any:
        family = self._family(name, description, pb.MetricFamily.HISTOGRAM)
        return family.Metric(labels=labels, buckets=buckets)

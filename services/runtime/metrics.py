"""Metrics of a step loop for Prometheus, through Triton's own metrics endpoint.

Triton counts only how long `execute` took, which for a model that replies step by step means nothing.
"""

from __future__ import annotations

import threading
from dataclasses import dataclass, field
from typing import Any

import triton_python_backend_utils as pb

_SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0]
_ROWS = [1.0, 2.0, 3.0, 6.0, 9.0, 12.0, 18.0, 24.0, 36.0, 48.0]
_GATHER_SECONDS = 0.25  # for which passes wait for others, unless a request begins or ends
_ENDS = ("finished", "cancelled", "expired", "failed", "refused")


@dataclass
class _Figures:
    """Figures that are not published yet."""

    levels: tuple[int, int] | None = None  # running and waiting, if they changed
    passes: list[tuple[int, int, float]] = field(default_factory=list)  # rows, trajectories, seconds
    ends: list[str] = field(default_factory=list)

    @property
    def urgent(self) -> bool:
        return self.levels is not None or bool(self.ends)


class EngineMeter:
    """The step loop's figures, labelled with the model's name, published by a thread of their own.

    To change a metric is a round trip to Triton's process, for which the step loop must not wait.
    """

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
        self._levels = (0, 0)  # told last
        self._changed = threading.Condition()
        self._news = _Figures()  # guarded by _changed, as is the next
        self._closing = False
        self._thread = threading.Thread(target=self._run, name="metrics", daemon=True)
        self._thread.start()

    def under_way(self, running: int, waiting: int) -> None:
        """The number of trajectories that step, and of those that wait."""
        if (running, waiting) == self._levels:
            return
        with self._changed:
            self._levels = self._news.levels = running, waiting
            self._changed.notify()

    def stepped(self, rows: int, trajectories: int, seconds: float) -> None:
        """A forward pass and all that belongs to it. Published a little later, with others."""
        with self._changed:
            self._news.passes.append((rows, trajectories, seconds))
            if len(self._news.passes) == 1:
                self._changed.notify()

    def ended(self, how: str) -> None:
        """A trajectory left the loop."""
        with self._changed:
            self._news.ends.append(how)
            self._changed.notify()

    def close(self) -> None:
        """Publishes what it was told, and ends."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        while (news := self._take()) is not None:
            try:
                self._publish(news)
            except Exception as fault:  # must not end the thread: figures would pile up
                pb.Logger.log_warn(f"metrics could not be published: {fault}")

    def _take(self) -> _Figures | None:
        """Waits for figures; None once it is closed and all are published."""
        with self._changed:
            self._changed.wait_for(lambda: self._news.urgent or self._news.passes or self._closing)
            self._changed.wait_for(lambda: self._news.urgent or self._closing, timeout=_GATHER_SECONDS)
            news, self._news = self._news, _Figures()
            return None if news == _Figures() else news

    def _publish(self, news: _Figures) -> None:
        """Levels come last: who sees that nothing runs sees all that ran."""
        if news.passes:
            self._passes.increment(len(news.passes))
            self._shared.increment(sum(trajectories for _, trajectories, _ in news.passes))
        for rows, _, seconds in news.passes:
            self._rows.observe(rows)
            self._seconds.observe(seconds)
        for how in news.ends:
            self._ended[how].increment(1)
        if news.levels is not None:
            running, waiting = news.levels
            self._running.set(running)
            self._waiting.set(waiting)

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

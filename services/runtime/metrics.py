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
        self._labels = {"model": model}
        # Triton drops a metric family as soon as no reference to it is held.
        self._families: list[Any] = []
        self._metrics: dict[str, Any] = {}
        kinds = pb.MetricFamily
        self._add("running", "Trajectories stepping", kinds.GAUGE)
        self._add("waiting", "Trajectories waiting to step", kinds.GAUGE)
        self._add("steps", "Forward passes", kinds.COUNTER)
        self._add("rows", "Rows per forward pass", kinds.HISTOGRAM, buckets=_ROWS)
        self._add("trajectory_steps", "Steps taken, counted once for each trajectory", kinds.COUNTER)
        self._add("step_seconds", "Time of a step", kinds.HISTOGRAM, buckets=_SECONDS)
        ends = self._family("ended", "Trajectories by how they ended", kinds.COUNTER)
        self._ended = {how: ends.Metric(labels={**self._labels, "how": how}) for how in _ENDS}
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
        """Publishes what it was told, takes the metrics off Triton's page, and ends."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join()
        # Metrics that still exist when the stub ends make it crash, and stay on the page.
        self._metrics.clear()
        self._ended.clear()
        self._families.clear()

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
        metrics = self._metrics
        if news.passes:
            metrics["steps"].increment(len(news.passes))
            metrics["trajectory_steps"].increment(sum(trajectories for _, trajectories, _ in news.passes))
        for rows, _, seconds in news.passes:
            metrics["rows"].observe(rows)
            metrics["step_seconds"].observe(seconds)
        for how in news.ends:
            self._ended[how].increment(1)
        if news.levels is not None:
            running, waiting = news.levels
            metrics["running"].set(running)
            metrics["waiting"].set(waiting)

    def _family(self, name: str, description: str, kind: Any) -> Any:
        family = pb.MetricFamily(name=f"intarsia_engine_{name}", description=description, kind=kind)
        self._families.append(family)
        return family

    def _add(self, name: str, description: str, kind: Any, **buckets: list[float]) -> None:
        self._metrics[name] = self._family(name, description, kind).Metric(labels=self._labels, **buckets)

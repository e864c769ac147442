"""Starts the platform for the time of a measurement, and reads its metrics."""

from __future__ import annotations

import argparse
import http.client
import re
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import urlsplit

from deploy.local.gpus import gpu_source
from deploy.local.stack import Stack, StackSettings


@contextmanager
def stack(
    options: argparse.Namespace, name: str, *, profile: str = "cpu", **environment: str
) -> Iterator[Stack]:
    """Starts a stack with the weights and threads of the options; its log is in a folder of this name.

    `profile` is that of Triton's settings; if it is empty, the models run on the first GPU.
    """
    settings = StackSettings(
        data=options.data / name,
        weights=options.weights,
        threads=options.threads,
        profile=profile,
        gpus=None if profile else gpu_source((0,)),
        environment=environment,
    )
    with Stack(settings) as running:
        yield running


class MetricsPage:
    """A page of Prometheus metrics, read repeatedly over one connection."""

    def __init__(self, url: str) -> None:
        self._where = urlsplit(url)
        self._connection = http.client.HTTPConnection(self._where.netloc, timeout=10)

    def __call__(self, name: str, **labels: str) -> float:
        """The current value of a metric; 0 if it does not exist yet."""
        self._connection.request("GET", self._where.path)
        page = self._connection.getresponse().read().decode()
        for match in re.finditer(rf"^{name}(?:\{{(.*)\}})? (\S+)$", page, re.MULTILINE):
            if all(f'{key}="{value}"' in (match[1] or "") for key, value in labels.items()):
                return float(match[2])
        return 0.0

    def wait(self, name: str, wanted: float, seconds: float = 60.0) -> float:
        """Polls until the metric is `wanted`; returns the time of that, by `time.perf_counter`."""
        end = time.perf_counter() + seconds
        while time.perf_counter() < end:
            if self(name) == wanted:
                return time.perf_counter()
            time.sleep(0.001)  # a gauge has no event to wait for
        raise TimeoutError(f"{name} did not become {wanted:g} in {seconds:g} s")

    def close(self) -> None:
        """Closes the connection."""
        self._connection.close()


class SharedSteps:
    """Counts how many requests a model's step loop steps together, from its metrics."""

    def __init__(self, page: Callable[..., float], model: str) -> None:
        self._page, self._model = page, model
        self._before = self._counts()

    def a_pass(self) -> float | None:
        """Requests in a pass, on average, since this was made; None if there was no pass."""
        passes, steps = (now - then for now, then in zip(self._counts(), self._before, strict=True))
        return steps / passes if passes else None

    def _counts(self) -> tuple[float, float]:
        """Passes so far, and steps taken in them, each counted once for each request."""
        names = ("intarsia_engine_steps", "intarsia_engine_trajectory_steps")
        passes, steps = (self._page(name, model=self._model) for name in names)
        return passes, steps

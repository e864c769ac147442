"""The whole platform through Triton, used as clients use it."""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import torch

import intarsia
from benchmarks import workload
from benchmarks.gpu.figures import Scale
from benchmarks.long_clip import write_clip
from benchmarks.stack import MetricsPage, SharedSteps, stack
from benchmarks.step_overhead import by_plain_client
from benchmarks.triton_client import MODEL, edit_tensors, text_width
from intarsia.results import ResultManifest

PATIENCE = 120.0  # seconds for one job


@dataclass(frozen=True)
class SizedEdit:
    """An edit of a region, its steps and the size it is made at; `context` None is the usual one."""

    region: workload.RegionEdit
    steps: int
    working_size: int
    context: float | None = None


class Platform:
    """A running platform with an uploaded picture and clip."""

    def __init__(
        self, url: str, client: intarsia.Client, metrics: MetricsPage, scale: Scale, seed: int
    ) -> None:
        self._client, self._metrics, self._scale, self._seed = client, metrics, scale, seed
        self._denoise = by_plain_client(url)
        self._number = 0  # of edits, so that no two are equal and no cache helps
        self._width = text_width(url)
        file = workload.png(workload.picture(*scale.picture, seed))
        self._picture = client.upload(file).name
        self._clip = ""

    def step_seconds(self, steps: int) -> float:
        """Seconds of a step of a large request, as a plain Triton client sees it."""
        self._number += 1
        return self._denoise(
            edit_tensors(self._width, side=self._scale.large, steps=steps, seed=self._number)
        )

    def edits(self, count: int) -> list[SizedEdit]:
        """The edits that figures are about."""
        size = self._scale.working_size
        return [
            SizedEdit(region, self._scale.edit_steps, size)
            for region in self._regions([self._scale.region] * count)
        ]

    def mixed(self, count: int) -> list[SizedEdit]:
        """Edits of several sizes and numbers of steps."""
        rng = torch.Generator().manual_seed(self._seed)  # always the same sizes and steps
        least, most = self._scale.mixed_steps
        cells = [
            self._scale.mixed_sides[int(torch.randint(len(self._scale.mixed_sides), (), generator=rng))]
            for _ in range(count)
        ]
        regions = self._regions([8 * side for side in cells])
        return [
            SizedEdit(region, int(torch.randint(least, most + 1, (), generator=rng)), region.side, 0.0)
            for region in regions
        ]

    def edit(self, wanted: SizedEdit) -> tuple[float, ResultManifest]:
        """Seconds from the call to the last byte of the edited picture, and the manifest."""
        region, started = wanted.region, time.perf_counter()
        job = self._client.edit_region(
            self._picture,
            intarsia.rectangle(*region.box),
            region.instruction,
            seed=region.seed,
            steps=wanted.steps,
            guidance=7.5,
            picture_guidance=1.5,
            context=wanted.context,
            working_size=wanted.working_size,
        )
        result = job.result(timeout=PATIENCE)
        self._client.read(result.picture)
        return time.perf_counter() - started, result.manifest

    def rate(self, edits: Sequence[SizedEdit], clients: int) -> float:
        """Pictures a second of a closed loop of so many clients."""
        started = time.perf_counter()
        with ThreadPoolExecutor(clients) as pool:
            list(pool.map(self.edit, edits))
        return len(edits) / (time.perf_counter() - started)

    def follow(self, frames: int) -> tuple[float, float]:
        """Seconds of the whole job for the first frames of the clip, and of its stage `track`."""
        if not self._clip:
            with tempfile.TemporaryDirectory() as folder:
                file = Path(folder) / "clip.mp4"
                write_clip(file, self._scale.frames, *self._scale.clip, self._seed)
                self._clip = self._client.upload(file).name
        side = min(self._scale.clip) // 2
        started = time.perf_counter()
        job = self._client.track_region(self._clip, intarsia.rectangle(0, 0, side, side), frames=frames)
        result = job.result(timeout=PATIENCE)
        return time.perf_counter() - started, result.stage_times["track"].total_seconds()

    def shared_steps(self) -> SharedSteps:
        """Counts from now on how many requests a pass steps."""
        return SharedSteps(self._metrics, MODEL)

    def _regions(self, sides: Sequence[int]) -> list[workload.RegionEdit]:
        self._number += 1
        regions = []
        for place, side in enumerate(sides):
            region = next(workload.edits(*self._scale.picture, (side,), 10_000 * self._number + place))
            words = f"{region.instruction} {self._number} {place}"
            regions.append(replace(region, instruction=words))
        return regions


@contextmanager
def platform_on(options: argparse.Namespace, scale: Scale, device: torch.device) -> Iterator[Platform]:
    """Starts the platform on a device."""
    profile = "" if device.type == "cuda" else "cpu"
    with stack(options, "gpu", profile=profile) as running, intarsia.Client(running.address) as client:
        metrics = MetricsPage(running.triton.metrics_url)
        try:
            yield Platform(running.triton.url, client, metrics, scale, options.seed)
        finally:
            metrics.close()

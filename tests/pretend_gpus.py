"""GPUs that do not exist, to place models on: their servers run on the processor."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from deploy.local.gpus import GpuMemory, GpuSource
from deploy.local.models import RepositoryModel
from deploy.local.placement import Gpu, ModelMemory

GIB = 1 << 30


def pretend_gpus(*free: float, **sizes: float) -> GpuSource:
    """A source of GPUs with so many GiB free, where each model needs one GiB unless `sizes` names another."""
    gpus = tuple(Gpu(index, "pretend", int(gib * GIB), f"GPU-{index}") for index, gib in enumerate(free))

    def source(weights: Path, models: Sequence[RepositoryModel]) -> GpuMemory:
        return GpuMemory(gpus, tuple(needs(model) for model in models))

    def needs(model: RepositoryModel) -> ModelMemory:
        size = int(sizes.get(model.name, 1.0) * GIB)
        return ModelMemory(model.name, size, optional=model.optional, step_loop=model.step_loop)

    return source

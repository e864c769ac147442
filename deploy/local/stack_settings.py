"""Settings of the one-machine stack."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from deploy.local.cores import usable_cores
from deploy.local.gpus import GpuSource
from deploy.local.models import REPOSITORY
from deploy.local.supervisor import ProbeLimits


@dataclass(frozen=True)
class StackSettings:
    """Settings of a stack. A port of 0 means any free one."""

    data: Path  # artifacts, links and logs
    weights: Path
    repository: Path = REPOSITORY
    port: int = 0
    metrics_port: int = 0
    # Of the first Triton; each further one has the next port.
    triton_port: int = 0
    triton_metrics_port: int = 0
    profile: str = "cpu"
    gpus: GpuSource | None = None  # the GPUs to place models on; None: one Triton has all models
    threads: int = field(default_factory=usable_cores)
    probe_limits: ProbeLimits = field(default_factory=ProbeLimits)
    drain_seconds: float = 30.0
    environment: Mapping[str, str] = field(default_factory=dict)

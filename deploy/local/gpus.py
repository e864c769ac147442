"""The GPUs of this machine, and what models need on one."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from deploy.local.models import RepositoryModel
from deploy.local.placement import Gpu, ModelMemory

# What a process takes on a GPU before it has loaded anything: its context, and the code of its kernels.
PROCESS_BYTES = 512 << 20
VISIBLE = "CUDA_VISIBLE_DEVICES"


class GpuError(RuntimeError):
    """GPUs that were asked for cannot be used; says which, and the remedy."""


@dataclass(frozen=True)
class GpuMemory:
    """The GPUs to use, and what each model needs on one."""

    gpus: tuple[Gpu, ...]
    models: tuple[ModelMemory, ...]


# Called with the folder of weights and the models to serve.
GpuSource = Callable[[Path, Sequence[RepositoryModel]], GpuMemory]
Ask = Callable[..., dict[str, Any]]


def gpu_source(wanted: Sequence[int]) -> GpuSource:
    """A source of the GPUs with these indices; of every visible one if there are none."""
    return partial(_gpu_memory, tuple(wanted))


def parse_indices(text: str) -> tuple[int, ...]:
    """The indices in a list such as `0,1`; raises ValueError."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() for part in parts):
        raise ValueError(f"{text!r} must be indices of GPUs separated by commas, for example 0,1")
    indices = tuple(map(int, parts))
    if len(set(indices)) < len(indices):
        raise ValueError(f"{text!r} names a GPU twice; once is enough for all its models")
    return indices


def _gpu_memory(
    wanted: tuple[int, ...],
    weights: Path,
    models: Sequence[RepositoryModel],
    ask: Ask | None = None,
    environment: Mapping[str, str] = os.environ,
) -> GpuMemory:
    networks = sorted({network for model in models for network in model.networks})
    answer = (ask or _ask)(weights, wanted, networks)
    _check(wanted, answer)
    visible = environment[VISIBLE].split(",") if VISIBLE in environment else None
    gpus = tuple(
        Gpu(index, found["name"], found["free"], visible[index].strip() if visible else str(index))
        for index, found in ((each["index"], each) for each in answer["gpus"])
    )
    return GpuMemory(gpus, tuple(_needs(model, answer["networks"]) for model in models))


def _check(wanted: Sequence[int], answer: Mapping[str, Any]) -> None:
    """Raises GpuError if there is no GPU, or one that was asked for is missing or cannot be used."""
    count = answer["count"]
    if not count:
        raise GpuError(
            f"no GPU can be used: {answer['reason']}; without --gpu the models run on the processor"
        )
    if missing := [str(index) for index in wanted if index >= count]:
        there = f"those that can be used are 0 to {count - 1}" if count > 1 else "the only one is 0"
        raise GpuError(f"--gpu {','.join(map(str, wanted))}: there is no GPU {' or '.join(missing)}; {there}")
    for found in answer["gpus"]:
        if "free" not in found:
            name = f"GPU {found['index']} ({found['name']})"
            raise GpuError(f"{name} cannot be used: {found['reason']}; name others with --gpu")


def _needs(model: RepositoryModel, networks: Mapping[str, int]) -> ModelMemory:
    loaded = sum(networks[name] for name in model.networks)
    needed = PROCESS_BYTES + int(loaded * (1 + model.working_memory))
    return ModelMemory(model.name, needed, optional=model.optional, step_loop=model.step_loop)


def _ask(weights: Path, wanted: Sequence[int], networks: Sequence[str]) -> dict[str, Any]:
    """Asks in a process of its own, so that this one holds no memory of a GPU."""
    command = [sys.executable, "-m", "services.runtime.gpu_memory", str(weights)]
    if wanted:
        command += ["--gpus", ",".join(map(str, wanted))]
    if networks:
        command += ["--networks", *networks]
    asked = subprocess.run(command, capture_output=True, text=True, check=False)
    if asked.returncode:
        raise GpuError(f"the memory of the GPUs cannot be read:\n{asked.stderr.strip()}")
    return json.loads(asked.stdout.splitlines()[-1])

"""Placement: which models are loaded on which GPU.

A model is one process with adapters, pictures and clips of its own. A copy of it is another process, on
another GPU, in a server of its own. Memory decides: no GPU gets more than is free on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

# What a server takes on its GPU beside its models: its context, and a pool for tensors.
SERVER_BYTES = 512 << 20


class PlacementError(ValueError):
    """Some models fit on no GPU; says which, and the remedy."""


@dataclass(frozen=True)
class Gpu:
    """One GPU, as `CUDA_VISIBLE_DEVICES` names it in `visible`, with its free bytes."""

    index: int
    name: str
    free: int
    visible: str

    def __str__(self) -> str:
        return f"GPU {self.index} ({self.name}, {gibibytes(self.free)} free)"


@dataclass(frozen=True)
class ModelMemory:
    """The bytes that a model needs on a GPU. An optional model is not served without its weights."""

    name: str
    bytes: int
    optional: bool = False
    step_loop: bool = False

    def __str__(self) -> str:
        return f"{self.name} {gibibytes(self.bytes)}"


@dataclass(frozen=True)
class GpuModels:
    """A GPU, and the models that are loaded on it."""

    gpu: Gpu
    models: tuple[ModelMemory, ...]

    def __str__(self) -> str:
        return f"{self.gpu}: {', '.join(map(str, self.models)) or 'no model fits'}"


def place(gpus: Sequence[Gpu], models: Sequence[ModelMemory]) -> tuple[GpuModels, ...]:
    """Places every model once, and copies of it on further GPUs while they fit; an entry for each GPU.

    Each time the GPU with the most room gets the next model, the largest first. Second copies come before
    third ones, and of equally many copies those of step loops first. Equal arguments give equal placements.
    Raises PlacementError if there is no room for each model once.
    """
    rooms = [gpu.free - SERVER_BYTES for gpu in gpus]
    largest_first = sorted(models, key=lambda model: (-model.bytes, model.name))
    found = _once_each(tuple(rooms), largest_first, set())
    if found is None:
        raise PlacementError(_refusal(gpus, rooms, models))
    placed: list[list[ModelMemory]] = [[] for _ in gpus]
    for model, index in zip(largest_first, found, strict=True):
        placed[index].append(model)
        rooms[index] -= model.bytes
    while (copy := _next_copy(placed, rooms, largest_first)) is not None:
        model, index = copy
        placed[index].append(model)
        rooms[index] -= model.bytes
    return tuple(
        GpuModels(gpu, tuple(model for model in models if model in placed[index]))
        for index, gpu in enumerate(gpus)
    )


def gibibytes(size: int) -> str:
    """A number of bytes in GiB, for people."""
    return f"{size / (1 << 30):.1f} GiB"


def _once_each(
    rooms: tuple[int, ...], models: Sequence[ModelMemory], hopeless: set[tuple[int, ...]]
) -> list[int] | None:
    """The index of a GPU for each model; None if there is no way at all.

    The GPU with the most room is tried first, then the others. `hopeless` has the states that led nowhere.
    """
    if not models:
        return []
    state = (len(models), *sorted(rooms))
    if state in hopeless:
        return None
    model, rest = models[0], models[1:]
    for index in _most_room_first(rooms):
        if rooms[index] < model.bytes:
            break
        left = (*rooms[:index], rooms[index] - model.bytes, *rooms[index + 1 :])
        if (found := _once_each(left, rest, hopeless)) is not None:
            return [index, *found]
    hopeless.add(state)
    return None


def _next_copy(
    placed: Sequence[Sequence[ModelMemory]], rooms: Sequence[int], models: Sequence[ModelMemory]
) -> tuple[ModelMemory, int] | None:
    """The model that is copied next, and the index of its GPU; None if no copy fits anywhere."""
    copies = {model.name: sum(model in others for others in placed) for model in models}
    for model in sorted(models, key=lambda model: (copies[model.name], not model.step_loop)):
        for index in _most_room_first(rooms):
            if model not in placed[index] and model.bytes <= rooms[index]:
                return model, index
    return None


def _most_room_first(rooms: Sequence[int]) -> list[int]:
    return sorted(range(len(rooms)), key=lambda index: (-rooms[index], index))


def _refusal(gpus: Sequence[Gpu], rooms: list[int], models: Sequence[ModelMemory]) -> str:
    """Names the models that are left over once those that cannot be left out have their place."""
    left_over = []
    for model in sorted(models, key=lambda model: (model.optional, -model.bytes, model.name)):
        index = _most_room_first(rooms)[0]
        if model.bytes <= rooms[index]:
            rooms[index] -= model.bytes
        else:
            left_over.append(model)
    optional = [model.name for model in models if model.optional]
    remedies = [
        "name another GPU, or several, with --gpu",
        "end other programs that use the GPU",
        'let bundles name a smaller number type ("dtype" in intarsia.json)',
        *([f"leave out the bundle of {' or '.join(optional)}"] if optional else []),
    ]
    return (
        f"not enough GPU memory for {', '.join(map(str, left_over))}: all models together need "
        f"{gibibytes(sum(model.bytes for model in models))}, each server {gibibytes(SERVER_BYTES)} more, and "
        f"there is {', '.join(map(str, gpus))}. Remedies: {'; '.join(remedies)}"
    )

"""The memory budget of a step loop: how much requests may take together.

A request beyond it is refused at once, before the host swaps or kills the process.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch

from services.denoising.checkpoint import largest_blob
from services.denoising.family import Family, Request

SHARE = 0.6  # fraction of free memory that one step loop may plan with
GRAPHS_SHARE = 0.25  # of that, for graphs of passes while no request needs it
_HISTORY = 7  # latents a trajectory holds at most: its own, noise, clean estimate, and four of a solver
_FLOOR = 1 << 20


@dataclass(frozen=True)
class DeviceMemory:
    """The memory of a device in bytes: all of it, what this process holds, and what others hold."""

    total: int
    own: int
    others: int


def device_memory(device: torch.device) -> DeviceMemory:
    """Who holds the memory of a device now. On a GPU, what the driver keeps counts as others'."""
    if device.type == "cuda":
        free, total = torch.cuda.mem_get_info(device)
        own = torch.cuda.memory_reserved(device)
    else:
        free, total, own = _on_host("MemAvailable"), _on_host("MemTotal"), _status("VmRSS")
    return DeviceMemory(total, own, max(total - free - own, 0))


def memory_for_work(device: torch.device, share: float = SHARE) -> int:
    """Bytes the engine may plan with: a share of what is free once the weights are loaded."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * share)
    return int(min(_on_host("MemAvailable"), _left_in_cgroup()) * share)


def pass_bytes(family: Family, work: int) -> int:
    """Working memory that one row of this work takes in a forward pass, measured on one."""
    sample = family.sample(1, work)
    if family.device.type == "cuda":
        before = torch.cuda.memory_allocated(family.device)
        torch.cuda.reset_peak_memory_stats(family.device)
        family.predict(sample)
        return max(torch.cuda.max_memory_allocated(family.device) - before, _FLOOR)
    peak = "VmHWM"
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:  # some sandboxes have no such file; what is kept after the pass must do
        peak = "VmRSS"
    before = _status("VmRSS")
    family.predict(sample)
    return max(_status(peak) - before, _FLOOR)


def state_bytes(request: Request) -> int:
    """Bytes a trajectory holds from admission to its end: latents, inputs on the host and on the device, the
    family's state, what its hooks and its checkpoint hold, and previews and checkpoints that a slow reader
    leaves waiting in its stream."""
    latents = math.prod(request.latents) * 4
    inputs = sum(tensor.nbytes for branch in request.branches for tensor in branch.inputs.values())
    held = request.carry_bytes + sum(hook.nbytes for hook in request.after)
    if request.checkpoint is not None:
        held += request.checkpoint.nbytes
    waiting = _times(request.preview_every, request) * latents
    waiting += _times(request.checkpoint_every, request) * (largest_blob(latents) + request.carry_bytes)
    return latents * _HISTORY + 2 * inputs + held + waiting


def _times(every: int, request: Request) -> int:
    """How often a request gets what it asked for with every so many steps."""
    return request.schedule.steps // every if every else 0


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _on_host(field: str) -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/meminfo has no {field}")


def _left_in_cgroup() -> float:
    """Bytes the container may still take; infinite where no limit is set."""
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or limit.read_text().strip() == "max":
        return float("inf")
    cache = 0  # files lately read count as used, but are given up when memory is wanted
    for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            cache = int(line.split()[1])
    return float(max(int(limit.read_text()) - int(used.read_text()) + cache, 0))

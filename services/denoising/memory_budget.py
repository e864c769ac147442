"""How much may be under way at once: an admission limit by memory.

Beyond it a request is refused at once instead of making every other one wait, swap or die.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import torch

from services.denoising.family import Request

if TYPE_CHECKING:
    from services.denoising.family import Family

SHARE = 0.6  # of what is free, where nobody else takes of it
_HISTORY = 6  # latents a trajectory holds at most: its own, the noise, and what solvers remember
_FLOOR = 1 << 20


def memory_for_work(device: torch.device, share: float = SHARE) -> int:
    """Bytes the engine may plan with: a share of what is free once the weights are in."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free * share)
    return int(min(_available_on_host(), _left_in_cgroup()) * share)


def pass_bytes(family: Family, side: int) -> int:
    """Working memory that one row of this side takes in a forward pass, measured on one."""
    asked = family.sample(1, side)
    if family.device.type == "cuda":
        before = torch.cuda.memory_allocated(family.device)
        torch.cuda.reset_peak_memory_stats(family.device)
        family.predict(asked)
        return max(torch.cuda.max_memory_allocated(family.device) - before, _FLOOR)
    peak = "VmHWM"
    try:
        Path("/proc/self/clear_refs").write_text("5")  # forget the peak so far
    except OSError:  # some sandboxes have no such file; what is kept after the pass must do
        peak = "VmRSS"
    before = _status("VmRSS")
    family.predict(asked)
    return max(_status(peak) - before, _FLOOR)


def state_bytes(request: Request) -> int:
    """What a trajectory holds from admission to its end: its questions twice, as asked and as stacked."""
    channels, height, width = request.latents
    questions = sum(branch.text.nbytes + branch.condition.nbytes for branch in request.branches)
    return channels * height * width * 4 * _HISTORY + 2 * questions


def _status(field: str) -> int:
    for line in Path("/proc/self/status").read_text().splitlines():
        if line.startswith(field + ":"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"/proc/self/status has no {field}")


def _available_on_host() -> int:
    for line in Path("/proc/meminfo").read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError("/proc/meminfo has no MemAvailable")


def _left_in_cgroup() -> float:
    """What the container may still take; infinite where no limit is set."""
    limit, used = Path("/sys/fs/cgroup/memory.max"), Path("/sys/fs/cgroup/memory.current")
    if not limit.exists() or limit.read_text().strip() == "max":
        return float("inf")
    cache = 0  # files lately read count as used, but are given up when memory is wanted
    for line in Path("/sys/fs/cgroup/memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            cache = int(line.split()[1])
    return float(max(int(limit.read_text()) - int(used.read_text()) + cache, 0))

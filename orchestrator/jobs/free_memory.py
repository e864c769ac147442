"""The memory of the machine that is free, or that the process's control group leaves."""

from __future__ import annotations

from pathlib import Path

_MEMINFO = Path("/proc/meminfo")
_CGROUP = Path("/sys/fs/cgroup")


def free_memory(meminfo: Path = _MEMINFO, cgroup: Path = _CGROUP) -> int:
    """Bytes that can be taken before the machine swaps or the control group kills the process."""
    return int(min(_available(meminfo), _left_in(cgroup)))


def _available(meminfo: Path) -> int:
    for line in meminfo.read_text().splitlines():
        if line.startswith("MemAvailable:"):
            return int(line.split()[1]) * 1024
    raise RuntimeError(f"{meminfo} has no MemAvailable")


def _left_in(cgroup: Path) -> float:
    """Bytes that a control group (version 2) leaves; infinite if it has no limit."""
    limit = cgroup / "memory.max"
    if not limit.exists() or limit.read_text().strip() == "max":
        return float("inf")
    cache = 0  # files lately read count as used, but are given up when memory is wanted
    for line in (cgroup / "memory.stat").read_text().splitlines():
        if line.startswith("inactive_file "):
            cache = int(line.split()[1])
    return float(max(int(limit.read_text()) - int((cgroup / "memory.current").read_text()) + cache, 0))

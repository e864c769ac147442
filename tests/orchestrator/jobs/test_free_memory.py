"""The memory that is free on a machine, or in a container."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.jobs.free_memory import free_memory

MIB = 1 << 20


@pytest.fixture
def machine(tmp_path: Path) -> Path:
    """Two files of a machine with 1000 MiB free, without a limit."""
    (tmp_path / "meminfo").write_text(f"MemTotal: 9999999 kB\nMemAvailable:  {1000 * 1024} kB\n")
    (tmp_path / "cgroup").mkdir()
    return tmp_path


@pytest.mark.parametrize(
    ("limit", "used", "cache", "free"),
    [
        (None, 0, 0, 1000),
        ("max", 0, 0, 1000),
        (600 * MIB, 200 * MIB, 50 * MIB, 450),  # files in the cache are given up when memory is wanted
        (600 * MIB, 700 * MIB, 0, 0),
        (5000 * MIB, 0, 0, 1000),
    ],
)
def test_what_is_free_is_what_machine_and_container_both_have(
    machine: Path, limit: int | str | None, used: int, cache: int, free: int
) -> None:
    if limit is not None:
        (machine / "cgroup/memory.max").write_text(f"{limit}\n")
        (machine / "cgroup/memory.current").write_text(f"{used}\n")
        (machine / "cgroup/memory.stat").write_text(f"anon 1\ninactive_file {cache}\n")
    assert free_memory(machine / "meminfo", machine / "cgroup") == free * MIB


def test_this_machine_has_some() -> None:
    assert free_memory() > 0

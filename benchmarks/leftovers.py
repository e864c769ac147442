"""What a program has started, and whether anything of it is left."""

from __future__ import annotations

import socket
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import psutil


@dataclass(frozen=True)
class Started:
    """Processes, listening ports and shared memory of a program and of everything it started."""

    processes: tuple[psutil.Process, ...]
    ports: frozenset[int]
    memory: frozenset[Path]

    @classmethod
    def by(cls, pid: int) -> Started:
        """As it stands now."""
        root = psutil.Process(pid)
        processes = (root, *root.children(recursive=True))
        listening = {port for process in processes for port in _listening(process)}
        return cls(processes, frozenset(listening), frozenset(shared_memory(processes)))

    def still_alive(self, seconds: float) -> list[psutil.Process]:
        """Those that have not ended after so many seconds.

        One that has ended may be in the table of processes until the system's first process removes it.
        """
        # In a long run the system gives ids again, to threads too, for which nobody can wait.
        there = [each for each in self.processes if each.is_running()]
        return [each for each in psutil.wait_procs(there, timeout=seconds)[1] if not _ended(each)]

    def ports_answering(self) -> list[int]:
        """Those that still take connections."""
        return [port for port in self.ports if _answers(port)]

    def memory_left(self) -> list[Path]:
        """Regions that were not removed."""
        return [region for region in self.memory if region.exists()]


def _ended(process: psutil.Process) -> bool:
    """Whether nothing of it runs: a process is a zombie as soon as its first thread has ended."""
    try:
        return process.status() == psutil.STATUS_ZOMBIE and process.num_threads() == 1
    except psutil.NoSuchProcess:
        return True


def shared_memory(processes: Iterable[psutil.Process]) -> set[Path]:
    """Regions that models share with their Triton, by what they were started with."""
    words = {word for process in processes for word in _words(process)}
    return {Path("/dev/shm", word) for word in words if word.startswith("intarsia-")}


def _words(process: psutil.Process) -> list[str]:
    try:
        return process.cmdline()
    except psutil.NoSuchProcess:  # it has just ended, as helpers do
        return []


def _listening(process: psutil.Process) -> list[int]:
    try:
        connections = process.net_connections("tcp")
    except psutil.NoSuchProcess:
        return []
    return [one.laddr.port for one in connections if one.status == psutil.CONN_LISTEN]


def _answers(port: int) -> bool:
    with socket.socket() as caller:
        return caller.connect_ex(("127.0.0.1", port)) == 0

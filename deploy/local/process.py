"""Child processes that end with their parent."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from deploy.local import parent_death

# Isolated, and without site packages: it starts in a few milliseconds, whatever is installed.
_END_WITH_PARENT = (sys.executable, "-I", "-S", parent_death.__file__)


class ChildProcess:
    """A program in a process group of its own, ended as a group.

    If this process dies, the kernel signals the child to end too. The signal is tied to the thread that
    starts the child, so that thread must live as long as the child.
    """

    def __init__(self, command: Sequence[str], *, environment: Mapping[str, str], log: Path) -> None:
        log.parent.mkdir(parents=True, exist_ok=True)
        self._name = Path(command[0]).name
        self.log = log
        with log.open("ab") as sink:
            self._process = subprocess.Popen(
                [*_END_WITH_PARENT, str(os.getpid()), *command],
                env=dict(environment),
                stdin=subprocess.DEVNULL,
                stdout=sink,
                stderr=sink,
                start_new_session=True,
            )

    @property
    def pid(self) -> int:
        """The id of the process and of its group."""
        return self._process.pid

    @property
    def exit_code(self) -> int | None:
        """None while it runs."""
        return self._process.poll()

    def ended(self, *, within: float) -> bool:
        """True once it has ended; False after so many seconds in which it did not."""
        with suppress(subprocess.TimeoutExpired):
            self._process.wait(within)
        return self._process.poll() is not None

    def stop(self, grace: float) -> int:
        """Terminates it, waits so many seconds, kills the whole group, and returns the exit code."""
        if self._process.poll() is None:
            self._process.terminate()
            with suppress(subprocess.TimeoutExpired):
                self._process.wait(grace)
        with suppress(ProcessLookupError):
            os.killpg(self.pid, signal.SIGKILL)
        return self._process.wait()

    def log_tail(self, lines: int = 20) -> str:
        """The end of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError as fault:
            return f"(its log cannot be read: {fault})"
        return "\n".join(text.splitlines()[-lines:])

"""Runs a program that ends with its parent: `python parent_death.py PARENT PROGRAM ARGUMENT...`.

It becomes the program once the kernel knows what to do. The parent could ask the kernel between fork and exec
instead, but then gRPC's handlers of fork run in the child too: they start its threads there, and while calls
are under way in the parent, many a child crashes before it is the program.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

_PR_SET_PDEATHSIG = 1


def main() -> None:
    parent, command = int(sys.argv[1]), sys.argv[2:]
    ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)
    if os.getppid() != parent:
        sys.exit(f"{command[0]} is not started: process {parent} has ended")
    for number in (signal.SIGPIPE, signal.SIGXFSZ):  # which Python ignores, and programs do not expect
        signal.signal(number, signal.SIG_DFL)
    try:
        os.execvp(command[0], command)
    except OSError as fault:
        sys.exit(f"{command[0]} cannot be started: {fault}")


if __name__ == "__main__":
    main()

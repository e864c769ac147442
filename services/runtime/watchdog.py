"""A watchdog that ends a model's process when the Triton server that started it has ended.

When a server is killed, a model process that runs threads of its own stays behind with all its memory.
The kernel's parent-death signal does not help: it is bound to the thread that started the process, which
Triton ends soon after loading. So a thread polls the parent's process id. A process that is ending may hold
the interpreter lock (GIL) for ever, and then that thread cannot run; for this case it keeps re-arming a timer
that needs no lock.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time

_POLL_SECONDS = 1.0  # between two checks of the parent
_GIL_TIMEOUT = 120.0  # seconds without the interpreter lock after which the process is ended


def start() -> None:
    """Watch the server from now on, in a thread."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="watchdog", daemon=True).start()


def _watch(server: int) -> None:
    while os.getppid() == server:
        faulthandler.dump_traceback_later(_GIL_TIMEOUT, exit=True)
        time.sleep(_POLL_SECONDS)  # a child cannot wait for the end of its parent
    os._exit(1)

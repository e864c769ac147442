"""A model's process ends when its server does.

A server that is killed leaves the stub of a model with a thread of its own behind, with all its memory.
The kernel's own bond to a parent does not serve: it is to the thread that started the stub, which Triton
ends soon after loading. So a thread watches the parent. The dying stub may hold the interpreter's lock for
ever, and then that thread sleeps too; for this case it keeps winding up a timer which needs no lock.
"""

from __future__ import annotations

import faulthandler
import os
import threading
import time

_LOOK = 1.0  # seconds between two looks at the parent
_FUSE = 120.0  # seconds without the interpreter's lock after which the process counts as dying


def end_with_the_server() -> None:
    """Watches the server from now on."""
    threading.Thread(target=_watch, args=(os.getppid(),), name="orphan-watch", daemon=True).start()


def _watch(server: int) -> None:
    while os.getppid() == server:
        faulthandler.dump_traceback_later(_FUSE, exit=True)
        time.sleep(_LOOK)  # the parent's end is no event that a child could wait for
    os._exit(1)

"""Ports that are free on this machine."""

from __future__ import annotations

import socket
from contextlib import ExitStack


def free_ports(count: int) -> list[int]:
    """So many different free ports on the loopback interface.

    They are held together while being chosen, so they differ; another program may still take one before
    its server binds it, which the server then says.
    """
    with ExitStack() as held:
        ports = []
        for _ in range(count):
            holder = held.enter_context(socket.socket())
            holder.bind(("127.0.0.1", 0))
            ports.append(holder.getsockname()[1])
        return ports

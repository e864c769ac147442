"""Ports of this machine: those that are free, and those that were wished for."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack


class PortTaken(OSError):
    """A port that was wished for is in use."""


def choose_ports(wishes: Sequence[int]) -> list[int]:
    """For every wish that port, or a free one for a wish of 0; all on the loopback interface.

    They are held together while being chosen, so they differ; another program may still take one before
    its server binds it, which the server then says. Raises PortTaken for a wish that cannot be granted.
    """
    with ExitStack() as held:
        ports = []
        for wish in sorted(range(len(wishes)), key=lambda place: not wishes[place]):  # named ones first
            holder = held.enter_context(socket.socket())
            # Connections that linger after a server's end are no reason not to start it again.
            holder.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                holder.bind(("127.0.0.1", wishes[wish]))
                holder.listen()
            except (OSError, OverflowError) as fault:
                why = getattr(fault, "strerror", None) or fault
                raise PortTaken(f"port {wishes[wish]} cannot be used: {why}") from None
            ports.append((wish, holder.getsockname()[1]))
        return [port for _, port in sorted(ports)]

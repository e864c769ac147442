"""Chooses ports of this machine."""

from __future__ import annotations

import socket
from collections.abc import Sequence
from contextlib import ExitStack


class PortTaken(OSError):
    """A requested port is in use."""


def choose_ports(requested: Sequence[int]) -> list[int]:
    """Chooses a port for every requested one, a free one for 0; all on the loopback interface.

    They are bound at the same time while they are chosen, so they differ; another program may still take one
    before its server binds it, and then the server reports that. Raises PortTaken for a port in use.
    """
    with ExitStack() as sockets:
        ports = []
        for index in sorted(
            range(len(requested)), key=lambda index: not requested[index]
        ):  # fixed ones first
            bound = sockets.enter_context(socket.socket())
            # Connections that linger after a server's end must not prevent its restart.
            bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                bound.bind(("127.0.0.1", requested[index]))
                bound.listen()
            except (OSError, OverflowError) as error:
                why = getattr(error, "strerror", None) or error
                raise PortTaken(f"port {requested[index]} cannot be used: {why}") from None
            ports.append((index, bound.getsockname()[1]))
        return [port for _, port in sorted(ports)]

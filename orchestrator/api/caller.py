"""The caller of an rpc, read from its context. Every servicer passes it on as the first argument."""

from __future__ import annotations

import grpc

from orchestrator.caller import Caller

LOCAL = Caller("local")


def caller_of(context: grpc.aio.ServicerContext) -> Caller:
    """The caller of an rpc: without authentication there is a single one, called `local`."""
    return LOCAL

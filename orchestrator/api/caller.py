"""The caller of an rpc. Every method of a servicer begins with it, and passes it on as the first argument."""

from __future__ import annotations

import grpc

from orchestrator.caller import Caller

LOCAL = Caller("local")


def caller_of(context: grpc.aio.ServicerContext) -> Caller:
    """The caller of an rpc. Nothing in the context is read: there is a single caller, called `local`."""
    return LOCAL

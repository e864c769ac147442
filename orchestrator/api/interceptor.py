"""The interceptor around every rpc: it turns errors into statuses, counts calls and logs them."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any, NoReturn

import grpc

from orchestrator import logs, metrics
from orchestrator.aio import wait_event
from orchestrator.api.malformed_messages import check_readable, lenient_deserializer
from orchestrator.api.status import code_of, status_of

log = logging.getLogger(__name__)

_PREFIX = "/intarsia."


class CallInterceptor(grpc.aio.ServerInterceptor):
    """Wraps every handler, except those of health and reflection."""

    def __init__(self) -> None:
        self._call_arrived = asyncio.Event()

    async def wait_until_idle(self, seconds: float, *, within: float) -> None:
        """Returns when no call has arrived for `seconds`, after `within` seconds at most."""
        until = time.monotonic() + within
        while (left := until - time.monotonic()) > 0:
            self._call_arrived.clear()
            if not await wait_event(self._call_arrived, within=min(seconds, left)):
                return

    async def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Any:
        handler = await continuation(handler_call_details)
        method = handler_call_details.method
        if handler is None or not method.startswith(_PREFIX):
            return handler
        self._call_arrived.set()
        for kind, wrap in (
            ("unary_unary", _wrap_unary),
            ("stream_unary", _wrap_unary),
            ("unary_stream", _wrap_stream),
            ("stream_stream", _wrap_stream),
        ):
            inner = getattr(handler, kind)
            if inner is not None:
                make = getattr(grpc, f"{kind}_rpc_method_handler")
                return make(
                    wrap(method.rpartition("/")[2], inner),
                    lenient_deserializer(handler.request_deserializer),
                    handler.response_serializer,
                )
        return handler


def _wrap_unary(
    method: str, inner: Callable[[Any, Any], Awaitable[Any]]
) -> Callable[[Any, Any], Awaitable[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> Any:
        with _ObservedCall(method) as observed:
            try:
                return await inner(check_readable(request), context)
            except Exception as error:  # every fault becomes a status
                await observed.refuse(error, context)

    return call


def _wrap_stream(method: str, inner: Callable[[Any, Any], Any]) -> Callable[[Any, Any], AsyncIterator[Any]]:
    async def call(request: Any, context: grpc.aio.ServicerContext) -> AsyncIterator[Any]:
        with _ObservedCall(method) as observed:
            try:
                async with aclosing(inner(check_readable(request), context)) as answers:
                    async for answer in answers:
                        yield answer
            except Exception as error:  # every fault becomes a status
                await observed.refuse(error, context)

    return call


class _ObservedCall:
    """One call, counted and logged once with its duration and its status."""

    def __init__(self, method: str) -> None:
        self._method = method

    def __enter__(self) -> _ObservedCall:
        self._began = time.monotonic()
        self._recorded = False
        metrics.RPCS_OPEN.labels(self._method).inc()
        return self

    async def refuse(self, error: Exception, context: grpc.aio.ServicerContext) -> NoReturn:
        """Ends the call with the status of an exception."""
        refusal = logs.presentable(error)
        code, status = code_of(refusal), status_of(refusal)
        # The status leaves with `abort`: a client that has it finds the call counted.
        self._record(code, {"reason": refusal.reason, "why": refusal.message})
        trailers = (("grpc-status-details-bin", status.SerializeToString()),)
        await context.abort(code, status.message, trailers)
        raise AssertionError("abort always raises")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if not self._recorded:
            # Without a status an exception means that the client left, or that its deadline passed.
            self._record(grpc.StatusCode.OK if kind is None else grpc.StatusCode.CANCELLED, {})

    def _record(self, code: grpc.StatusCode, facts: dict[str, object]) -> None:
        self._recorded = True
        took = time.monotonic() - self._began
        metrics.RPCS_OPEN.labels(self._method).dec()
        metrics.RPCS.labels(self._method, code.name).inc()
        metrics.RPC_SECONDS.labels(self._method).observe(took)
        facts = {"rpc": self._method, "status": code.name, "seconds": round(took, 4), **facts}
        log.info("answered", extra={"facts": facts})

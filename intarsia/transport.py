"""The two ways to talk to a server: asyncio, or blocking the caller's thread.

Everything above this module is written once, as coroutines over a `Wire`. Over an `AsyncioWire` they
suspend as usual. Over a `BlockingWire` no await ever suspends, so `intarsia.blocking` can run them to
their end in the caller's thread, without an event loop and without a thread of its own.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncGenerator, Callable
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol, TypeVar

import grpc
from grpc.experimental import ChannelOptions

from intarsia import errors, status
from intarsia.blocking import each

T = TypeVar("T")

# Messages are small (artifacts travel in chunks of 1 MiB), long lists of jobs are the largest.
# Pings tell a silent peer from a dead one; more often than every 5 minutes, a server hangs up.
OPTIONS = (
    ("grpc.max_receive_message_length", 8 << 20),
    ("grpc.max_send_message_length", 8 << 20),
    ("grpc.keepalive_time_ms", 330_000),
    ("grpc.keepalive_timeout_ms", 20_000),
    ("grpc.initial_reconnect_backoff_ms", 200),
    ("grpc.min_reconnect_backoff_ms", 1_000),
    ("grpc.max_reconnect_backoff_ms", 5_000),
)

# The blocking caller's own thread fetches its answers. With gRPC's default, a thread beside it, a Ctrl-C in
# the moment before that thread runs leaves `close` waiting for an answer that nobody fetches.
BLOCKING_OPTIONS = ((ChannelOptions.SingleThreadedUnaryStream, 1),)
# gRPC would ask a proxy, where the environment names one, for the way to this machine itself.
AT_HOME_OPTIONS = (("grpc.enable_http_proxy", 0),)

Metadata = tuple[tuple[str, str], ...]


class Wire(Protocol):
    """A connection, and the few things that blocking and asyncio do differently."""

    @property
    def channel(self) -> Any:
        """A gRPC channel; connects by itself when it is first used."""

    async def ask(self, method: Any, request: Any, timeout: float | None) -> Any:
        """One answer to a request. Raises `IntarsiaError`."""

    async def give(self, method: Any, requests: AsyncGenerator[Any, None], timeout: float | None) -> Any:
        """One answer to many requests, which must not raise: gRPC would not say what. As `ask` else."""

    def hear(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        """Many answers to a request. Closing the iterator cancels the call. Raises `IntarsiaError`."""

    async def sleep(self, seconds: float) -> None: ...

    async def aside(self, work: Callable[..., T], *args: Any) -> T:
        """Runs something slow (disk, digests) without holding up anybody else."""

    async def close(self) -> None: ...


class AsyncioWire:
    """For use inside an event loop; the channel belongs to the loop of the first call."""

    def __init__(self, server: str, credentials: grpc.ChannelCredentials | None, metadata: Metadata) -> None:
        self._server, self._credentials, self._metadata = server, credentials, metadata

    @cached_property
    def channel(self) -> grpc.aio.Channel:
        options = options_for(self._server)
        if self._credentials is None:
            return grpc.aio.insecure_channel(self._server, options=options)
        return grpc.aio.secure_channel(self._server, self._credentials, options=options)

    async def ask(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            return await method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise status.of_call(error, self._server) from error

    async def give(self, method: Any, requests: AsyncGenerator[Any, None], timeout: float | None) -> Any:
        return await self.ask(method, requests, timeout)

    async def hear(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        call = method(request, timeout=timeout, metadata=self._metadata)
        try:
            async for answer in call:
                yield answer
        except grpc.RpcError as error:
            raise status.of_call(error, self._server) from error
        finally:
            call.cancel()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def aside(self, work: Callable[..., T], *args: Any) -> T:
        return await asyncio.to_thread(work, *args)

    async def close(self) -> None:
        if "channel" in self.__dict__:
            await self.channel.close()


class BlockingWire:
    """For use in any thread; its coroutines never suspend."""

    def __init__(self, server: str, credentials: grpc.ChannelCredentials | None, metadata: Metadata) -> None:
        self._server, self._metadata = server, metadata
        options = (*options_for(server), *BLOCKING_OPTIONS)
        if credentials is None:
            self.channel = grpc.insecure_channel(server, options=options)
        else:
            self.channel = grpc.secure_channel(server, credentials, options=options)

    async def ask(self, method: Any, request: Any, timeout: float | None) -> Any:
        try:
            return method(request, timeout=timeout, metadata=self._metadata)
        except grpc.RpcError as error:
            raise status.of_call(error, self._server) from error

    async def give(self, method: Any, requests: AsyncGenerator[Any, None], timeout: float | None) -> Any:
        return await self.ask(method, each(requests), timeout)

    async def hear(self, method: Any, request: Any, timeout: float | None) -> AsyncGenerator[Any, None]:
        call = method(request, timeout=timeout, metadata=self._metadata)
        try:
            for answer in call:
                yield answer
        except grpc.RpcError as error:
            raise status.of_call(error, self._server) from error
        finally:
            call.cancel()

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)

    async def aside(self, work: Callable[..., T], *args: Any) -> T:
        return work(*args)

    async def close(self) -> None:
        self.channel.close()


def credentials(tls: bool | str | Path | bytes) -> grpc.ChannelCredentials | None:
    """False: plain text. True: the well-known roots. A file, or its bytes: that root certificate (PEM)."""
    if tls is False:
        return None
    if tls is True:
        return grpc.ssl_channel_credentials()
    return grpc.ssl_channel_credentials(tls if isinstance(tls, bytes) else Path(tls).read_bytes())


def metadata(server: str, token: str | None, *, encrypted: bool) -> Metadata:
    """What is sent with every call. A token is a secret: it leaves this machine encrypted or not at all."""
    if token is None:
        return ()
    if not (encrypted or at_home(server)):
        raise errors.InvalidRequest(
            f"a token must not travel to {server} in plain text; set `tls`", field="token"
        )
    return (("authorization", f"Bearer {token}"),)


def at_home(server: str) -> bool:
    """Whether a server is on this machine."""
    host = server.rsplit("/", 1)[-1].rsplit(":", 1)[0].strip("[]")
    return server.startswith("unix:") or host in ("localhost", "127.0.0.1", "::1")


def options_for(server: str) -> tuple[tuple[str, int], ...]:
    """How a channel to this server behaves."""
    return (*OPTIONS, *AT_HOME_OPTIONS) if at_home(server) else OPTIONS

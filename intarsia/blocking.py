"""Blocking versions of coroutines that never suspend (see `intarsia.transport`).

    class Client:
        get_job = blocking(AsyncClient.get_job)

The method's one body is the coroutine; this runs it to its end in the caller's thread.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator, Iterator
from contextlib import closing
from functools import wraps
from inspect import signature
from typing import Any, Concatenate, ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")
S = TypeVar("S")


def run(work: Coroutine[Any, Any, R]) -> R:
    """The result of a coroutine that never suspends, run to its end."""
    try:
        work.send(None)
    except StopIteration as end:
        return end.value
    work.close()
    raise RuntimeError("a coroutine over a blocking transport has suspended")


def blocking(
    method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]],
) -> Callable[Concatenate[Any, P], R]:
    """The same method on an object whose `_core` has the coroutine."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> R:
        return run(method(self._core, *args, **kwargs))

    return call


def blocking_as(
    wrap: Callable[[R], S], method: Callable[Concatenate[Any, P], Coroutine[Any, Any, R]]
) -> Callable[Concatenate[Any, P], S]:
    """As `blocking`, for a method whose result is wrapped in its blocking version, `wrap`."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> S:
        return wrap(run(method(self._core, *args, **kwargs)))

    return _returning(wrap.__annotations__["return"], call)


def iterating(
    method: Callable[Concatenate[Any, P], AsyncGenerator[R, None]],
) -> Callable[Concatenate[Any, P], Iterator[R]]:
    """An asynchronous generator as a plain one; leaving the loop early closes both."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> Iterator[R]:
        yield from iterate(method(self._core, *args, **kwargs))

    element = signature(method).return_annotation.removeprefix("AsyncGenerator[").removesuffix(", None]")
    return _returning(f"Iterator[{element}]", call)


def iterating_as(
    wrap: Callable[[R], S], method: Callable[Concatenate[Any, P], AsyncGenerator[R, None]]
) -> Callable[Concatenate[Any, P], Iterator[S]]:
    """As `iterating`, with every element wrapped in its blocking version, `wrap`."""

    @wraps(method)
    def call(self: Any, *args: P.args, **kwargs: P.kwargs) -> Iterator[S]:
        with closing(iterate(method(self._core, *args, **kwargs))) as elements:
            yield from map(wrap, elements)

    return _returning(f"Iterator[{wrap.__annotations__['return']}]", call)


def iterate(source: AsyncGenerator[R, None]) -> Generator[R, None, None]:
    """A plain iterator over an asynchronous generator; leaving the loop early closes it."""
    try:
        while True:
            try:
                yield run(_as_coroutine(anext(source)))
            except StopAsyncIteration:
                return
    finally:
        run(_as_coroutine(source.aclose()))


def _returning(what: Any, call: Callable[P, R]) -> Callable[P, R]:
    """The function, whose signature tells this return type instead of that of the method it wraps."""
    call.__signature__ = signature(call).replace(return_annotation=what)  # type: ignore[attr-defined]
    return call


async def _as_coroutine(awaitable: Awaitable[R]) -> R:
    return await awaitable

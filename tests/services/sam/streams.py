"""Streams for tests on a processor: one that lets others wait, and what stands in for CUDA."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from torch import Tensor

from services.sam.stream import HostStream, Result, Tensors


class BusyStream:
    """A stream that is busy when it is told, with passes of 1, 2 and 4 rows into outputs that the next pass
    overwrites."""

    lookahead = 2

    def __init__(self) -> None:
        self.busy = False
        self.rows: list[int] = []  # of each pass

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor

    def run(self, work: Callable[[], Sequence[Result]]) -> list[Callable[[], Result]]:
        return HostStream().run(work)

    def passes(self, run: Callable[[Tensor], Tensors], row: Tensor) -> dict[int, Callable[[Tensor], Tensors]]:
        outputs: dict[int, Tensors] = {}

        def one(inputs: Tensor) -> Tensors:
            self.rows.append(len(inputs))
            made = run(inputs)
            for old, new in zip(outputs.setdefault(len(inputs), made), made, strict=True):
                old.copy_(new)
            return outputs[len(inputs)]

        return {rows: one for rows in (1, 2, 4)}


class FakeCuda:
    """The part of `torch.cuda` that streams use. Work is done at once, but its event is reached when
    it is told."""

    def __init__(self) -> None:
        self.current = FakeStream()  # the caller's
        self.caller = self.current
        self.events: list[FakeEvent] = []  # that were recorded
        self.free_bytes = [10_000, 9_950]  # at the first and at later questions
        self.Event, self.Stream = (lambda: FakeEvent(self)), (lambda _: FakeStream())

    def current_stream(self, device: Any) -> FakeStream:
        return self.current

    def mem_get_info(self, device: Any) -> tuple[int, int]:
        return (self.free_bytes.pop(0) if len(self.free_bytes) > 1 else self.free_bytes[0]), 10_000

    @contextmanager
    def stream(self, stream: FakeStream) -> Iterator[None]:
        before, self.current = self.current, stream
        try:
            yield
        finally:
            self.current = before


class FakeStream:
    def __init__(self) -> None:
        self.waited: list[Any] = []  # events and streams

    def wait_stream(self, stream: FakeStream) -> None:
        self.waited.append(stream)

    def wait_event(self, event: FakeEvent) -> None:
        self.waited.append(event)

    def synchronize(self) -> None:
        pass


class FakeEvent:
    def __init__(self, of: FakeCuda) -> None:
        self._of = of
        self.reached = False

    def record(self, stream: FakeStream) -> None:
        assert self._of.current is stream
        self._of.events.append(self)

    def query(self) -> bool:
        return self.reached

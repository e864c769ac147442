"""Where pictures are embedded: beside the caller's work on a GPU, at once on a processor.

A stream runs work in order. On a GPU the work has only begun when `run` returns; each of its results may be
used after it was joined.
"""

from __future__ import annotations

import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Protocol, TypeVar

import torch
from torch import Tensor, cuda

from services.acceleration.cuda_recorder import CudaRecorder
from services.acceleration.recorder import Recorder

Tensors = tuple[Tensor, ...]
Pass = Callable[[Tensor], Tensors]  # from rows of inputs to their outputs
Result = TypeVar("Result")

log = logging.getLogger(__name__)

_ROWS = (1, 2, 4)  # rows of a pass that are tried
_WARM = 2  # passes before a shape is recorded or measured: the first choose kernels and load them
_MEASURED = 3  # passes, of which the fastest counts
_MEMORY = 0.1  # of the free memory: passes that would take more are not tried, since others use the GPU too
_LESS = 0.9  # a row must cost at most this share of one in a smaller pass, or sharing does not pay


class Stream(Protocol):
    """A queue of work on a device. `lookahead` is the number of frames of a clip that it is worth embedding
    ahead; `busy` is true while more work would only queue up."""

    @property
    def lookahead(self) -> int: ...
    @property
    def busy(self) -> bool: ...

    def upload(self, tensor: Tensor) -> Tensor:
        """A tensor of the host on the device; the host does not wait for the copy."""

    def run(self, work: Callable[[], Sequence[Result]]) -> list[Callable[[], Result]]:
        """Begins work; returns for each of its results the function that joins it: it gives this result, for
        use by the caller, and holds no other."""

    def passes(self, run: Pass, row: Tensor) -> Mapping[int, Pass]:
        """A pass for each number of rows that pays, made of a function and of zeros in the form of one row
        (1, ...). Outputs may be overwritten by the next pass."""


class HostStream:
    """A processor: work is done when `run` returns, and every row has a pass of its own, so that results do
    not depend on company."""

    lookahead = 1
    busy = False

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor

    def run(self, work: Callable[[], Sequence[Result]]) -> list[Callable[[], Result]]:
        return [partial(_itself, result) for result in work()]

    def passes(self, run: Pass, row: Tensor) -> Mapping[int, Pass]:
        return {1: run}


class CudaStream:
    """A CUDA stream beside that of the caller. Passes are graphs, which the host starts by a single call."""

    lookahead = 2  # one is attended to while the next is embedded and the one after arrives

    def __init__(self, device: torch.device, recorder: Recorder) -> None:
        self._device, self._recorder = device, recorder
        self._stream = cuda.Stream(device)
        self._ends: deque[cuda.Event] = deque(maxlen=2)  # of the latest work

    @property
    def busy(self) -> bool:
        """True while one piece of work goes on and another waits, so that the GPU will not run dry."""
        return len(self._ends) == 2 and not self._ends[0].query()

    def upload(self, tensor: Tensor) -> Tensor:
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def run(self, work: Callable[[], Sequence[Result]]) -> list[Callable[[], Result]]:
        # What the caller has begun may still read results that were dropped; their memory is used again here.
        self._stream.wait_stream(cuda.current_stream(self._device))
        with cuda.stream(self._stream):
            made = work()
            done = cuda.Event()
            done.record(self._stream)
        self._ends.append(done)

        def join(result: Result) -> Result:
            cuda.current_stream(self._device).wait_event(done)
            return result

        return [partial(join, result) for result in made]

    def passes(self, run: Pass, row: Tensor) -> Mapping[int, Pass]:
        passes: dict[int, Pass] = {}
        seconds: dict[int, float] = {}
        free = before = cuda.mem_get_info(self._device)[0]
        for rows in _ROWS:
            if (before - free) * rows > _MEMORY * free:  # by what one row took
                break
            inputs = row.repeat(rows, *[1] * (row.ndim - 1))
            try:
                passes[rows] = self._recorded(run, inputs)
                seconds[rows] = self._seconds(passes[rows], inputs)
            except RuntimeError as error:  # of CUDA: what cannot be recorded, and a GPU without free memory
                log.warning("sam: a pass of %d rows has no CUDA graph: %s", rows, error)
                passes.pop(rows, None)
                break
            if rows_that_pay(seconds) < rows:
                break
            if rows == 1:
                free = cuda.mem_get_info(self._device)[0]
        most = rows_that_pay(seconds) if seconds else 1
        return {rows: passes[rows] for rows in passes if rows <= most} or {1: run}

    def _recorded(self, run: Pass, inputs: Tensor) -> Pass:
        recording = self._recorder.record(run, [inputs])

        def replay(values: Tensor) -> Tensors:
            inputs.copy_(values)
            recording.replay()
            return recording.output

        return replay

    def _seconds(self, one: Pass, inputs: Tensor) -> float:
        """The time of a warm pass."""
        taken = []
        for _ in range(_WARM + _MEASURED):
            self._stream.synchronize()
            begun = time.perf_counter()
            with cuda.stream(self._stream):
                one(inputs)
            self._stream.synchronize()
            taken.append(time.perf_counter() - begun)
        return min(taken[_WARM:])


def _itself(result: Result) -> Result:
    return result


def rows_that_pay(seconds: Mapping[int, float]) -> int:
    """The largest number of rows up to which every larger pass makes a row clearly cheaper."""
    best, *more = sorted(seconds)
    for rows in more:
        if seconds[rows] / rows > _LESS * seconds[best] / best:
            break
        best = rows
    return best


def stream_on(device: torch.device) -> Stream:
    """The stream for work on a device beside that of the caller."""
    if device.type != "cuda":
        return HostStream()
    return CudaStream(device, CudaRecorder(device, warm_passes=_WARM))

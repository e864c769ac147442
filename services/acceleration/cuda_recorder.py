"""Records forward passes as CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic

import torch
from torch import Tensor

from services.acceleration.recorder import Output


@dataclass(frozen=True, eq=False)
class CudaRecording(Generic[Output]):
    """A CUDA graph, and what it writes."""

    graph: torch.cuda.CUDAGraph
    output: Output
    device: torch.device

    def replay(self) -> None:
        self.graph.replay()

    def release(self) -> None:
        torch.cuda.synchronize(self.device)  # a graph must not end while it runs
        self.graph.reset()


class CudaRecorder:
    """CUDA graphs of one GPU in one pool.

    PyTorch allows graphs to share a pool if none reads what another has written: here each output is copied
    before the next replay, and all are replayed on one stream, whichever that is. Memory of expandable
    segments may be in the pool or not, as the version of PyTorch decides; both work.
    """

    def __init__(self, device: torch.device, warm_passes: int = 1) -> None:
        """`warm_passes` are run before one is recorded; the first of a shape choose kernels and load them."""
        self._device, self._warm_passes = device, warm_passes
        self._stream = torch.cuda.Stream(device)
        self._pool = torch.cuda.graph_pool_handle()
        self._failed = False

    def record(self, forward: Callable[..., Output], inputs: Sequence[Tensor]) -> CudaRecording[Output]:
        """Records a pass on a stream of its own, after warm ones that are run there for real.

        Those give the libraries their workspaces of this stream, which must lie outside of the pool. The
        mode `thread_local` lets other threads use the GPU meanwhile, as when an adapter is loaded.
        """
        graph = torch.cuda.CUDAGraph()
        # `torch.cuda.graph` enters this stream too, but does not leave it if the end of a capture fails.
        with torch.cuda.device(self._device), torch.cuda.stream(self._stream):
            try:
                torch.cuda.synchronize(self._device)  # the inputs were written on another stream
                for _ in range(self._warm_passes):
                    forward(*inputs)
                with torch.cuda.graph(
                    graph, pool=self._pool, stream=self._stream, capture_error_mode="thread_local"
                ):
                    output = forward(*inputs)
            except RuntimeError:
                self._failed = True
                raise
            finally:
                torch.cuda.synchronize(self._device)
        return CudaRecording(graph, output, self._device)

    def pool_bytes(self) -> int:
        """The segments of the pool, whether they are in use or kept for the next graph."""
        segments = torch.cuda.memory_snapshot()
        return sum(
            segment["total_size"] for segment in segments if segment["segment_pool_id"] == tuple(self._pool)
        )

    def renew_pool(self) -> None:
        """Takes another pool, and empties this one.

        A capture that failed may keep its pool for ever, so such a one is used on: the next graphs take the
        memory that was left in it.
        """
        if not self._failed:
            self._pool = torch.cuda.graph_pool_handle()
        with torch.cuda.device(self._device):
            torch.cuda.empty_cache()

"""The order in which CUDA is used to record a pass, with a `torch.cuda` that writes down its calls."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import Tensor

from services.acceleration.cuda_recorder import CudaRecorder

GPU = torch.device("cuda", 1)


class Cuda:
    """What of `torch.cuda` a recorder uses; a capture fails if it shall."""

    def __init__(self) -> None:
        self.calls: list[str] = []
        self.fails = False
        self.pools = 0

    def Stream(self, device: torch.device) -> str:
        return f"stream of {device}"

    def graph_pool_handle(self) -> tuple[int, int]:
        self.pools += 1
        return (self.pools, 0)

    def CUDAGraph(self) -> Cuda:
        return self

    def replay(self) -> None:
        self.calls.append("replay")

    def reset(self) -> None:
        self.calls.append("reset")

    def synchronize(self, device: torch.device) -> None:
        self.calls.append("synchronize")

    def empty_cache(self) -> None:
        self.calls.append("empty_cache")

    @contextmanager
    def device(self, device: torch.device):
        yield

    @contextmanager
    def stream(self, stream: str):
        self.calls.append("enter stream")
        try:
            yield
        finally:
            self.calls.append("leave stream")

    @contextmanager
    def graph(self, graph: Cuda, *, pool: tuple[int, int], stream: str, capture_error_mode: str):
        self.calls.append(f"capture in {pool} on {stream}, {capture_error_mode}")
        yield
        if self.fails:
            raise RuntimeError("CUDA error: operation failed due to a previous error during capture")

    def memory_snapshot(self) -> list[dict]:
        sizes = {(0, 0): 1000, (1, 0): 20, (2, 0): 7}
        return [{"segment_pool_id": pool, "total_size": size} for pool, size in sizes.items() for _ in (1, 2)]


@pytest.fixture
def cuda(monkeypatch: pytest.MonkeyPatch) -> Cuda:
    double = Cuda()
    monkeypatch.setattr("services.acceleration.cuda_recorder.torch.cuda", double)
    return double


def recorded(recorder: CudaRecorder, cuda: Cuda):
    def forward(tensor: Tensor) -> tuple[Tensor, ...]:
        cuda.calls.append("forward")
        return tensor + 1, tensor + 2

    return recorder.record(forward, [torch.ones(2)])


@pytest.mark.parametrize("warm", [1, 2])
def test_passes_are_run_on_the_stream_before_one_is_captured_there(cuda, warm):
    recording = recorded(CudaRecorder(GPU, warm_passes=warm), cuda)
    assert cuda.calls == [
        "enter stream",
        "synchronize",
        *["forward"] * warm,
        "capture in (1, 0) on stream of cuda:1, thread_local",
        "forward",
        "synchronize",
        "leave stream",
    ]
    assert [tensor.tolist() for tensor in recording.output] == [[2, 2], [3, 3]]
    recording.replay()
    recording.release()
    assert cuda.calls[-3:] == ["replay", "synchronize", "reset"]


def test_a_capture_that_fails_leaves_the_stream(cuda):
    cuda.fails = True
    with pytest.raises(RuntimeError, match="during capture"):
        recorded(CudaRecorder(GPU), cuda)
    assert cuda.calls[-2:] == ["synchronize", "leave stream"]


@pytest.mark.parametrize(("fails", "size"), [(False, 14), (True, 40)])
def test_a_pool_is_renewed_unless_a_capture_that_failed_may_keep_it(cuda, fails, size):
    recorder = CudaRecorder(GPU)
    assert recorder.pool_bytes() == 40
    cuda.fails = fails
    try:
        recorded(recorder, cuda)
    except RuntimeError:
        assert fails
    recorder.renew_pool()
    assert cuda.calls[-1] == "empty_cache"
    assert recorder.pool_bytes() == size

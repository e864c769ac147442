from __future__ import annotations

import pytest
import torch
from torch import Tensor

from services.sam import sam2
from services.sam import stream as module
from services.sam.frames_ahead import MOST
from services.sam.service import Sam
from services.sam.stream import CudaStream, rows_that_pay
from tests.services.acceleration.doubles import TapeRecorder
from tests.services.sam.clips import clip, disc, follow, look, name, same
from tests.services.sam.streams import FakeCuda

CPU = torch.device("cpu")
ROW = torch.zeros(1, 3)


@pytest.fixture
def cuda(monkeypatch) -> FakeCuda:
    fake = FakeCuda()
    monkeypatch.setattr(module, "cuda", fake)
    return fake


@pytest.fixture
def recorder() -> TapeRecorder:
    return TapeRecorder()


@pytest.fixture
def stream(cuda, recorder) -> CudaStream:
    return CudaStream(CPU, recorder)


@pytest.mark.parametrize(
    ("seconds", "rows"),
    [
        ({1: 8.0}, 1),
        ({1: 8.0, 2: 16.0, 4: 8.0}, 1),  # a larger pass is not tried beyond one that does not pay
        ({1: 8.0, 2: 10.0, 4: 16.0}, 4),
        ({1: 8.0, 2: 10.0, 4: 19.0}, 2),
    ],
)
def test_more_rows_pay_as_long_as_each_becomes_clearly_cheaper(seconds, rows):
    assert rows_that_pay(seconds) == rows


def test_work_is_joined_by_waiting_for_it_on_the_callers_stream_only(cuda, stream):
    ran_on = []
    first, second = stream.run(lambda: (ran_on.append(cuda.current), (ROW + 1, ROW + 2))[1])
    assert ran_on[0] is not cuda.caller
    assert ran_on[0].waited == [cuda.caller] and not cuda.caller.waited
    assert torch.equal(first(), ROW + 1)
    assert cuda.caller.waited == cuda.events
    assert torch.equal(second(), ROW + 2)
    assert cuda.caller.waited == 2 * cuda.events


def test_a_stream_is_busy_while_one_piece_of_work_goes_on_and_another_waits(cuda, stream):
    stream.run(lambda: (ROW,))
    assert not stream.busy
    stream.run(lambda: (ROW,))
    assert stream.busy
    cuda.events[0].reached = True
    assert not stream.busy
    stream.run(lambda: (ROW,))
    assert stream.busy


def test_a_pass_is_replayed_with_the_values_of_now(cuda, stream, monkeypatch):
    monkeypatch.setattr(CudaStream, "_seconds", lambda self, one, inputs: 1.0)
    eager = []

    def run(values: Tensor) -> tuple[Tensor, ...]:
        eager.append(len(values))
        return (values * 2).relu(), values.sum(0, keepdim=True)[..., :2]

    passes = stream.passes(run, ROW)
    assert sorted(passes) == [1, 2, 4]
    recorded = len(eager)
    for values in (torch.tensor([[1.0, -2.0, 3.0]] * 2), torch.tensor([[5.0, 6.0, 7.0]] * 2)):
        doubled, total = passes[2](values)
        assert torch.equal(doubled, (values * 2).relu()) and torch.equal(total, values.sum(0)[None, :2])
    assert len(eager) == recorded


@pytest.mark.parametrize(("fails_at", "rows"), [(1, [1]), (2, [1]), (4, [1, 2])])
def test_what_cannot_be_recorded_is_run_layer_by_layer_or_in_smaller_passes(
    stream, recorder, monkeypatch, fails_at, rows
):
    monkeypatch.setattr(CudaStream, "_seconds", lambda self, one, inputs: 1.0)
    tried: list[int] = []

    def run(values: Tensor) -> tuple[Tensor, ...]:
        tried.append(len(values))
        if tried.count(fails_at) == 1 and len(values) == fails_at:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return (values + 1,)

    passes = stream.passes(run, ROW)
    assert sorted(passes) == rows
    assert tried[-1] == fails_at, "no larger pass is tried"
    assert len(recorder.recordings) == len([each for each in tried if each < fails_at])
    for number, one in passes.items():
        values = torch.arange(3.0 * number).view(number, 3)
        assert torch.equal(one(values)[0], values + 1)


@pytest.mark.parametrize(("left", "rows"), [(9_900, [1, 2, 4]), (9_750, [1, 2]), (9_300, [1])])
def test_passes_that_would_take_much_of_the_free_memory_are_not_tried(cuda, stream, monkeypatch, left, rows):
    monkeypatch.setattr(CudaStream, "_seconds", lambda self, one, inputs: 1.0)
    cuda.free_bytes = [10_000, left]
    assert sorted(stream.passes(lambda values: (values + 1,), ROW)) == rows


def test_rows_that_do_not_pay_are_not_shared(cuda, stream, monkeypatch):
    monkeypatch.setattr(CudaStream, "_seconds", lambda self, one, inputs: float(len(inputs)))
    assert sorted(stream.passes(lambda values: (values + 1,), ROW)) == [1]


def test_the_time_of_a_pass_is_that_of_a_warm_one(cuda, stream, monkeypatch):
    now = [0.0]
    costs = iter([9.0, 9.0, 2.0, 1.0, 3.0])
    monkeypatch.setattr(module.time, "perf_counter", lambda: now[0])

    def one(values: Tensor) -> tuple[Tensor, ...]:
        now[0] += next(costs)
        return (values,)

    assert stream._seconds(one, ROW) == 1.0


def test_clips_are_tracked_by_replayed_passes_as_without_them(sam_bundle, cuda, stream, monkeypatch):
    monkeypatch.setattr(CudaStream, "_seconds", lambda self, one, inputs: 1.0)
    monkeypatch.setattr(CudaStream, "upload", lambda self, tensor: tensor)
    clips = [clip(4, seed) for seed in range(3)]
    expected = [follow(Sam(sam_bundle, CPU), frames, {0: disc()}) for frames in clips]
    monkeypatch.setattr(sam2, "stream_on", lambda device: stream)
    service = Sam(sam_bundle, CPU)
    assert service.facts()["ahead"] == {"lookahead": 2, "count": 0, "most": MOST, "rows": 4}
    for of, frames in enumerate(clips):
        assert same(look(service, 0, frames[0], disc(), of=of), expected[of][0])
    for place in range(1, 4):
        for of, frames in enumerate(clips):  # the first two begin, and the third joins what waits
            service.embed({"clip": name(of), "frame": torch.tensor([place]).int(), "picture": frames[place]})
        for event in cuda.events:
            event.reached = True
        for of in range(3):
            found = service.answer({"clip": name(of), "frame": torch.tensor([place]).int()})
            torch.testing.assert_close(found["logits"], expected[of][place]["logits"], rtol=0, atol=1e-3)

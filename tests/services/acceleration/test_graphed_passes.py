"""Passes that are replayed, with a recorder for processors that has the contract of CUDA graphs."""

from __future__ import annotations

import logging
import threading

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from services.acceleration.graphed_passes import WARM_PASSES, GraphedPasses
from services.acceleration.passes import EagerPasses, passes_for
from tests.services.acceleration.doubles import TapeRecorder

ROOMY = 1 << 30


class Mixer(nn.Module):
    """Two layers over latents and a level for each row; counts how often its Python code runs."""

    def __init__(self) -> None:
        super().__init__()
        draws = torch.Generator().manual_seed(3)
        self.first = nn.Conv2d(2, 4, 3, padding=1).requires_grad_(False)
        self.second = nn.Conv2d(4, 2, 3, padding=1).requires_grad_(False)
        for parameter in self.parameters():
            parameter.copy_(torch.randn(parameter.shape, generator=draws) * 0.3)
        self.rows: list[int] = []

    def forward(self, latents: Tensor, level: Tensor) -> Tensor:
        self.rows.append(len(latents))
        hidden = torch.tanh(self.first(latents) + level[:, None, None, None])
        return self.second(hidden).relu_() + latents


def drawn(rows: int, side: int = 4, seed: int = 0) -> tuple[Tensor, Tensor]:
    draws = torch.Generator().manual_seed(seed)
    return torch.randn(rows, 2, side, side, generator=draws), torch.rand(rows, generator=draws)


def graphed(limit: int = ROOMY) -> tuple[GraphedPasses, Mixer, TapeRecorder]:
    network, recorder = Mixer(), TapeRecorder()
    passes = GraphedPasses(network, recorder)
    passes.limit(limit)
    return passes, network, recorder


def warm(passes: GraphedPasses, rows: int, side: int = 4) -> None:
    """Runs passes of a shape until it is replayed."""
    for _ in range(WARM_PASSES + 1):
        passes(*drawn(rows, side))


def test_without_a_gpu_passes_run_as_they_are():
    network = Mixer()
    passes = passes_for(network, torch.device("cpu"))
    assert isinstance(passes, EagerPasses)
    assert torch.equal(passes(*drawn(5)), network(*drawn(5)))
    assert network.rows == [5, 5]
    assert (passes.nbytes, passes.facts()) == (0, {"path": "eager"})


def test_a_shape_is_recorded_after_warm_passes_and_its_code_does_not_run_again():
    passes, network, recorder = graphed()
    for _ in range(WARM_PASSES):
        passes(*drawn(2))
    assert recorder.captures == 0
    passes(*drawn(2))
    ran = len(network.rows)
    for seed in range(3):
        inputs = drawn(2, seed=seed)
        torch.testing.assert_close(passes(*inputs), Mixer()(*inputs))
    assert (recorder.captures, len(network.rows)) == (1, ran)
    assert passes.facts()["replayed"] == 4


def test_results_do_not_change_with_the_next_replay():
    passes, _, _ = graphed()
    warm(passes, 3)
    earlier = passes(*drawn(3, seed=1))
    kept = earlier.clone()
    passes(*drawn(3, seed=2))
    assert torch.equal(earlier, kept)


def test_inputs_may_change_after_a_pass():
    passes, _, _ = graphed()
    warm(passes, 3)
    latents, level = drawn(3, seed=1)
    result = passes(latents, level)
    latents.zero_()
    torch.testing.assert_close(result, Mixer()(*drawn(3, seed=1)))


@pytest.mark.parametrize("recorded", [False, True])
def test_rows_are_padded_to_the_next_rung(recorded):
    passes, network, recorder = graphed()
    if recorded:
        warm(passes, 6)
    result = passes(*drawn(5, seed=4))
    assert set(network.rows) == {6}
    torch.testing.assert_close(result, Mixer()(*drawn(5, seed=4)))
    assert recorder.captures == recorded


def test_a_pass_of_more_rows_than_the_largest_count_is_never_recorded():
    passes, network, recorder = graphed()
    warm(passes, 49)
    assert (recorder.captures, set(network.rows)) == (0, {49})


def test_an_eager_pass_has_its_own_rows_and_the_bytes_of_the_network_alone():
    passes, network, recorder = graphed()
    warm(passes, 6)
    network.rows.clear()
    result = passes(*drawn(5, seed=4), eager=True)
    assert network.rows == [5]
    assert torch.equal(result, Mixer()(*drawn(5, seed=4)))
    assert recorder.captures == 1


def test_eager_passes_do_not_warm_a_shape():
    passes, _, recorder = graphed()
    for _ in range(2 * WARM_PASSES):
        passes(*drawn(2), eager=True)
    passes(*drawn(2))
    assert recorder.captures == 0


def test_each_shape_and_number_type_has_its_graph():
    passes, _, recorder = graphed()
    warm(passes, 2, side=4)
    warm(passes, 2, side=6)
    warm(passes, 4, side=4)
    assert recorder.captures == 3
    for rows, side in ((2, 6), (4, 4), (2, 4)):
        inputs = drawn(rows, side, seed=8)
        torch.testing.assert_close(passes(*inputs), Mixer()(*inputs))
    assert recorder.captures == 3


def test_the_least_recently_used_graph_goes_when_bytes_run_out():
    passes, _, recorder = graphed()
    warm(passes, 2, side=8)
    warm(passes, 2, side=4)
    two = passes.nbytes
    passes.limit(two)
    passes(*drawn(2, side=8))
    warm(passes, 1, side=4)
    assert passes.nbytes <= two and passes.facts()["graphs"] == 2
    recorded = recorder.captures
    passes(*drawn(2, side=8))
    passes(*drawn(1, side=4))
    assert recorder.captures == recorded  # both are still there
    passes(*drawn(2, side=4))
    assert recorder.captures == recorded + 1


def test_a_graph_that_would_surely_not_fit_is_not_recorded():
    passes, _, recorder = graphed()
    warm(passes, 2, side=4)
    passes.limit(2 * passes.nbytes)
    warm(passes, 2, side=512)
    assert (recorder.captures, passes.facts()["graphs"]) == (1, 1)


def test_a_pool_that_is_too_large_goes_with_all_its_graphs_and_is_not_made_again():
    def attention(rows: Tensor) -> Tensor:
        return torch.softmax(rows[:, :, None] * rows[:, None, :], dim=2).sum(dim=2)

    recorder = TapeRecorder()
    passes = GraphedPasses(attention, recorder)
    passes.limit(16 << 20)
    for _ in range(WARM_PASSES + 1):
        passes(torch.randn(2, 8))
    assert passes.facts()["graphs"] == 1
    for _ in range(2 * WARM_PASSES):
        passes(torch.randn(2, 1024))  # its memory grows faster than its inputs
    assert (recorder.captures, recorder.renewals, passes.nbytes) == (2, 1, 0)
    passes(torch.randn(2, 8))
    assert (recorder.captures, passes.facts()["graphs"]) == (3, 1)  # others are recorded again


def test_graphs_are_given_back_when_others_want_the_memory():
    passes, _, recorder = graphed()
    warm(passes, 2)
    passes.limit(0)
    assert (passes.nbytes, recorder.recordings, recorder.pool_bytes()) == (0, [], 0)
    warm(passes, 2)
    assert recorder.captures == 1  # nothing is recorded that could not be kept
    passes.limit(ROOMY)
    passes(*drawn(2))
    assert recorder.captures == 2


def test_cleared_graphs_are_recorded_again_once_they_are_warm():
    passes, _, recorder = graphed()
    warm(passes, 2)
    passes.clear()
    assert passes.nbytes == 0
    passes(*drawn(2))
    assert recorder.captures == 1
    warm(passes, 2)
    assert recorder.captures == 2


def test_another_thread_may_clear_between_passes():
    passes, _, _ = graphed()
    warm(passes, 2)
    stop = threading.Event()

    def clears():
        while not stop.is_set():
            passes.clear()

    thread = threading.Thread(target=clears)
    thread.start()
    try:
        for seed in range(60):
            inputs = drawn(2, seed=seed)
            torch.testing.assert_close(passes(*inputs), Mixer()(*inputs))
    finally:
        stop.set()
        thread.join()


def test_a_pass_that_cannot_be_recorded_runs_and_is_not_tried_soon(caplog):
    passes, _, recorder = graphed()
    recorder.failing = 2
    with caplog.at_level(logging.WARNING):
        for seed in range(210):
            inputs = drawn(2, seed=seed)
            torch.testing.assert_close(passes(*inputs), Mixer()(*inputs))
    assert recorder.captures == 3  # after 64 and 128 passes more
    assert len(caplog.records) == 1 and "not permitted" in caplog.text
    facts = passes.facts()
    assert facts["graphs"] == 1 and "not permitted" in facts["failure"]


def test_a_network_that_waits_for_a_value_is_never_replayed():
    def waits(latents: Tensor, level: Tensor) -> Tensor:
        return latents * float(level.sum())

    passes = GraphedPasses(waits, TapeRecorder())
    passes.limit(ROOMY)
    for seed in range(6):
        inputs = drawn(2, seed=seed)
        torch.testing.assert_close(passes(*inputs), waits(*inputs))
    assert passes.facts()["graphs"] == 0


@settings(max_examples=25, deadline=None)
@given(
    asked=st.lists(
        st.tuples(st.integers(1, 9), st.sampled_from([2, 4, 5]), st.booleans(), st.integers(0, 99)),
        min_size=10,
        max_size=60,
    ),
    limits=st.lists(st.sampled_from([0, 9 << 20, 20 << 20, ROOMY]), min_size=1, max_size=4),
)
def test_any_sequence_of_passes_gives_what_the_network_gives(asked, limits):
    passes, plain = graphed()[0], Mixer()
    handed_out = []
    for turn, (rows, side, eager, seed) in enumerate(asked):
        passes.limit(limits[turn % len(limits)])
        inputs = drawn(rows, side, seed)
        result = passes(*inputs, eager=eager)
        handed_out.append((result, plain(*inputs)))
        assert passes.nbytes <= limits[turn % len(limits)]
    for result, expected in handed_out:
        torch.testing.assert_close(result, expected, rtol=0, atol=1e-5)

"""The measurement of what a step costs through Triton; no figure is judged."""

from __future__ import annotations

import multiprocessing
import threading
from pathlib import Path

import numpy as np

from benchmarks.step_overhead import by_orchestrator, by_plain_client, run_loops, take_turns
from deploy.local.stack import Stack
from services.bundles.bundle import Bundle


def test_the_loop_and_both_clients_of_triton_are_timed_in_turns(stack: Stack, weights: Path):
    ours, theirs = multiprocessing.Pipe()

    def answer() -> None:
        with theirs:  # so that a fault here ends the test too
            run_loops(theirs, weights)

    loop = threading.Thread(target=answer)
    loop.start()

    def bare_loop(tensors: dict[str, np.ndarray]) -> float:
        ours.send({**tensors, "seed": tensors["seed"].astype(np.int64)})
        return ours.recv()

    width = Bundle.open(weights / "ip2p").config("unet")["cross_attention_dim"]
    with by_orchestrator(stack.triton.url) as orchestrator:
        ways = {"loop": bare_loop, "client": by_plain_client(stack.triton.url), "orchestrator": orchestrator}
        found = take_turns(ways, width, side=4, steps=6, rounds=2, seed=7)
    ours.send(None)
    loop.join()
    assert found.keys() == ways.keys()
    assert all(len(times) == 2 and min(times) > 0 for times in found.values())

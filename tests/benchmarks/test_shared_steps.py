"""How many requests a pass steps, by the metrics of a step loop."""

from __future__ import annotations

from benchmarks.stack import SharedSteps


class Page:
    """A page of metrics that a test writes."""

    def __init__(self) -> None:
        self.passes, self.steps = 10.0, 80.0

    def __call__(self, name: str, **labels: str) -> float:
        assert labels == {"model": "ip2p_unet"}
        return {"intarsia_engine_steps": self.passes, "intarsia_engine_trajectory_steps": self.steps}[name]


def test_only_passes_since_the_beginning_count():
    page = Page()
    shared = SharedSteps(page, "ip2p_unet")
    assert shared.a_pass() is None
    page.passes, page.steps = page.passes + 4, page.steps + 10
    assert shared.a_pass() == 2.5

"""The capacity of a step loop: how many requests it takes, told in typical ones.

A client that starts jobs by these numbers keeps the loop full, and no fuller than memory allows.
"""

from __future__ import annotations

from collections.abc import Sequence

from services.denoising.costs import Costs
from services.denoising.family import Request
from services.denoising.memory_budget import state_bytes
from services.denoising.queue import EngineLimits


def capacity_facts(
    typical: Request, works: Sequence[int], costs: Costs, limits: EngineLimits
) -> dict[str, int]:
    """The capacity in requests like this one, as plain values.

    `full_pass`: those that fill the largest pass worth taking, at the work at which most share one. `fit`:
    those that memory holds beside the pass of one. `running` and `waiting`: the most that step, and wait.
    """
    rows = max(costs.rows_for(work) for work in works)
    beside = limits.memory - costs.step_bytes(typical)
    return {
        "full_pass": max(1, min(rows // len(typical.branches), limits.running)),
        "fit": max(1, beside // state_bytes(typical)),
        "running": limits.running,
        "waiting": limits.waiting,
    }

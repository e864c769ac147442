"""Jobs survive kills and freezes at random moments: a short form of `python -m benchmarks.kill_jobs`."""

from __future__ import annotations

import asyncio
from pathlib import Path

from benchmarks.kill_jobs.trial import TrialSettings, run_trial
from deploy.local.stack import Stack
from tests.postgres import Postgres


def test_jobs_survive_kills_of_the_orchestrator_and_of_the_model_server(stack: Stack, tmp_path: Path):
    settings = TrialSettings(
        folder=tmp_path,
        ways=[["orchestrator", "both", "orchestrator"]],
        requests=5,
        pictures=3,
        pause=1.0,
    )
    result = asyncio.run(run_trial(settings, stack.servers[0]))
    assert result.findings.faults == []
    assert result.disturbances == {"orchestrator": 2, "both": 1}
    assert result.jobs.keys() == {"EditRegion", "FillRegion", "TrackRegion"}


def test_jobs_survive_kills_and_freezes_of_two_orchestrators_that_share_a_database(
    stack: Stack, postgres: Postgres, tmp_path: Path
):
    settings = TrialSettings(
        folder=tmp_path,
        ways=[["orchestrator", "freeze"], ["freeze", "orchestrator"]],
        database=postgres.create(),
        requests=5,
        pictures=3,
        lease=1.0,
        pause=1.0,
    )
    result = asyncio.run(run_trial(settings, stack.servers[0]))
    assert result.findings.faults == []
    assert result.disturbances == {"orchestrator": 2, "freeze": 2}
    assert result.jobs.keys() == {"EditRegion", "FillRegion", "TrackRegion"}

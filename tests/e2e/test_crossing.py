"""Numbers survive the crossing, and every model tells what it serves."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from deploy.local.models import repository_models
from deploy.local.probe import probe
from tests.e2e.triton import TritonClient, text

MODELS = tuple(model.name for model in repository_models())


@pytest.mark.parametrize("model", MODELS)
def test_a_probe_does_real_work_and_returns_the_facts(stack, models: TritonClient, model):
    facts = probe(models.client, model, seconds=30)
    weights = facts.get("weights") or facts["families"]["ip2p"]["weights"]
    assert len(bytes.fromhex(weights)) == 32


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.lists(st.floats(width=32, allow_nan=False), min_size=1, max_size=500))
def test_numbers_come_back_unchanged(models: TritonClient, numbers):
    known = np.array(numbers, np.float32)
    answer = models.ask("vae", {"ask": text("probe"), "known": known})
    assert answer.as_numpy("known").tobytes() == known.tobytes()


def test_the_probe_is_a_command_for_liveness_checks(stack):
    command = [sys.executable, "-m", "deploy.local.probe", stack.triton.url, *MODELS]
    command += ["--key-file", str(stack.triton.key_file)]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert asked.returncode == 0, asked.stderr
    assert [line.split(":")[0] for line in asked.stdout.splitlines()] == list(MODELS)
    assert all(json.loads(line.split(": ", 1)[1]) for line in asked.stdout.splitlines())


def test_the_probe_fails_without_a_server(stack):
    command = [
        sys.executable,
        "-m",
        "deploy.local.probe",
        stack.triton.url,
        "no_such_model",
        "--seconds",
        "5",
    ]
    asked = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert asked.returncode == 1
    assert "no_such_model" in asked.stderr

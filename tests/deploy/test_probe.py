"""The probe tells living models from dead ones, and honest numbers from corrupted ones."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerClient

from deploy.local import model_server, stack
from deploy.local.probe import ProbeError, TensorsCorrupted, main, probe
from tests.deploy.kserve import Scripted, serving

# What a Triton of this age really makes of numbers beside NumPy 2, and other ways to lose them.
SPOILT: dict[str, Callable[[np.ndarray], np.ndarray]] = {
    "every number is the first": lambda numbers: np.full_like(numbers, numbers[0]),
    "bytes in the wrong order": lambda numbers: numbers.byteswap(),
    "the tail is lost": lambda numbers: numbers[:-1],
    "one bit is flipped": lambda numbers: (numbers.view(np.uint32) ^ np.uint32(1)).view(np.float32),
    "nothing is left": lambda numbers: numbers[:0],
}


@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_a_working_model_returns_its_facts(decoupled: bool):
    with serving(Scripted(decoupled)) as url, InferenceServerClient(url) as client:
        assert probe(client, "any", seconds=10) == {"weights": "some"}


@pytest.mark.parametrize("way", SPOILT)
@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_changed_numbers_are_detected(decoupled: bool, way: str):
    with serving(Scripted(decoupled, SPOILT[way])) as url, InferenceServerClient(url) as client:
        with pytest.raises(TensorsCorrupted, match="is its NumPy below 2"):
            probe(client, "any", seconds=10)


@pytest.mark.parametrize("missing", ["known", "facts"])
def test_an_incomplete_reply_is_an_error(missing: str):
    left = tuple(name for name in ("known", "facts") if name != missing)
    with serving(Scripted(outputs=left)) as url, InferenceServerClient(url) as client:
        with pytest.raises(ProbeError, match="incomplete"):
            probe(client, "any", seconds=10)


@pytest.mark.parametrize("facts", ['{"weights"', "[1, 2]", "5", ""])
def test_invalid_facts_are_an_error(facts: str):
    with serving(Scripted(facts=facts)) as url, InferenceServerClient(url) as client:
        with pytest.raises(ProbeError, match="any: its facts are not a JSON object"):
            probe(client, "any", seconds=10)


@pytest.mark.parametrize("decoupled", [False, True], ids=["unary", "decoupled"])
def test_a_dead_process_is_reported(decoupled: bool):
    words = "Stub process 'any_0_0' is not healthy."
    with serving(Scripted(decoupled, refusal=words)) as url, InferenceServerClient(url) as client:
        with pytest.raises(ProbeError, match=f"any: .*{words}"):
            probe(client, "any", seconds=10)


def test_a_silent_model_is_an_error_after_the_timeout():
    with serving(Scripted(decoupled=True, silent=True)) as url, InferenceServerClient(url) as client:
        with pytest.raises(ProbeError, match=r"any: (no reply within|Deadline)"):
            probe(client, "any", seconds=0.5)


def test_the_command_accepts_a_model_in_a_long_step(capsys: pytest.CaptureFixture[str]):
    facts = '{"step": {"running_for": 20, "expected": 15}}'
    with serving(Scripted(decoupled=True, silent=True, facts=facts)) as url:
        assert main([url, "any", "--seconds", "0.5"]) == 0
    assert capsys.readouterr().out == "any: in a long step\n"


def test_an_http_proxy_is_not_used(monkeypatch: pytest.MonkeyPatch):
    for name in ("no_proxy", "NO_PROXY", "no_grpc_proxy"):
        monkeypatch.delenv(name, raising=False)
    for name in ("http_proxy", "https_proxy", "grpc_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    with serving(Scripted()) as url:
        assert main([url, "any", "--seconds", "10"]) == 0


def test_the_command_names_the_failed_model(capsys: pytest.CaptureFixture[str]):
    with serving(Scripted(spoil=SPOILT["one bit is flipped"])) as url:
        assert main([url, "sam"]) == 1
    assert capsys.readouterr().err.startswith("sam: numbers changed")


def test_a_stack_whose_models_corrupt_numbers_does_not_serve(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    model = Scripted(spoil=SPOILT["every number is the first"])
    stopped = []

    class Triton:
        """Stands for a server that is up and whose models load."""

        def __init__(self, settings: object) -> None:
            self.url, self.key = url, ""

        def start(self) -> None:
            """It was."""

        def wait_ready(self) -> None:
            """It is."""

        def stop(self) -> int:
            stopped.append(self)
            return 0

    with serving(model) as url:
        monkeypatch.setattr(model_server, "Triton", Triton)
        started = stack.Stack(stack.StackSettings(data=tmp_path, weights=tmp_path))
        with pytest.raises(TensorsCorrupted, match="ip2p_unet: numbers changed"):
            started.start()
    assert model.asked == 1 and len(stopped) == 1
    assert not (tmp_path / "orchestrator.log").exists()

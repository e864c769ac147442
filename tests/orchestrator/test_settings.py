"""What the environment says."""

from __future__ import annotations

from pathlib import Path

import pytest

from orchestrator.models.registry import MODELS
from orchestrator.settings import BadSetting, Settings


def test_an_empty_environment_is_enough() -> None:
    settings = Settings.read({}, MODELS)
    assert settings.listen == "127.0.0.1:50051"
    assert settings.triton == {
        name: ("127.0.0.1:8001",) for name in ("sam", "text_encoder", "vae", "ip2p_unet", "sd2_inpaint")
    }
    assert settings.ready_file is None


def test_a_model_may_be_served_elsewhere_and_more_than_once() -> None:
    settings = Settings.read({"INTARSIA_TRITON": "a:1", "INTARSIA_TRITON_IP2P_UNET": "b:2, c:3"}, MODELS)
    assert settings.triton["sam"] == ("a:1",)
    assert settings.triton["ip2p_unet"] == ("b:2", "c:3")


def test_values_are_read() -> None:
    settings = Settings.read(
        {
            "INTARSIA_JOBS_RUNNING": "3",
            "INTARSIA_STALL_FLOOR_SECONDS": "0.5",
            "INTARSIA_READY_FILE": "r.json",
        },
        MODELS,
    )
    assert (settings.jobs_running, settings.stall_floor, settings.ready_file) == (3, 0.5, Path("r.json"))


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("INTARSIA_LISTEN", "8500"),
        ("INTARSIA_LISTEN", "localhost:99999"),
        ("INTARSIA_TRITON", "localhost"),
        ("INTARSIA_TRITON_SAM", ""),
        ("INTARSIA_TRITON_SAMM", "localhost:1"),
        ("INTARSIA_JOBS_RUNNING", "0"),
        ("INTARSIA_JOBS_RUNNING", "many"),
        ("INTARSIA_TIME_LIMIT_SECONDS", "-1"),
        ("INTARSIA_TIME_LIMIT_SECONDS", "nan"),
        ("INTARSIA_LOG_LEVEL", "loud"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=variable):
        Settings.read({variable: value}, MODELS)

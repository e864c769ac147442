"""What the environment says."""

from __future__ import annotations

from math import inf
from pathlib import Path

import pytest

from orchestrator.media.clip.writer import ENCODERS
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
        ("INTARSIA_JOBS_RUNNING", ""),
        ("INTARSIA_JOBS_MEMORY_MEGABYTES", "0"),
        ("INTARSIA_JOBS_MEMORY_MEGABYTES", "half"),
        ("INTARSIA_JOBS_RUNNING", "many"),
        ("INTARSIA_TIME_LIMIT_SECONDS", "-1"),
        ("INTARSIA_TIME_LIMIT_SECONDS", "nan"),
        ("INTARSIA_JOBS_DATABASE", "mysql://somewhere/jobs"),
        ("INTARSIA_JOBS_DATABASE", "jobs.sqlite"),
        ("INTARSIA_JOBS_LEASE_SECONDS", "0"),
        ("INTARSIA_JOBS_INTERRUPTIONS", "0"),
        ("INTARSIA_BATCH_TIME_LIMIT_SECONDS", "never"),
        ("INTARSIA_KEEP_UPLOADS_DAYS", "-1"),
        ("INTARSIA_KEEP_RESULTS_DAYS", "a month"),
        ("INTARSIA_KEEP_JOBS_DAYS", "nan"),
        ("INTARSIA_LOG_LEVEL", "loud"),
        ("INTARSIA_VIDEO_ENCODER", "libx265"),
    ],
)
def test_a_variable_that_cannot_be_used_is_named(variable: str, value: str) -> None:
    with pytest.raises(BadSetting, match=variable):
        Settings.read({variable: value}, MODELS)


def test_how_many_jobs_run_is_left_to_the_models_unless_it_is_said() -> None:
    left = Settings.read({"INTARSIA_JOBS_MEMORY_MEGABYTES": "Auto"}, MODELS)
    assert left.jobs_running is None and left.jobs_memory is None
    said = Settings.read({"INTARSIA_JOBS_RUNNING": "12", "INTARSIA_JOBS_MEMORY_MEGABYTES": "1.5e3"}, MODELS)
    assert (said.jobs_running, said.jobs_memory) == (12, 1500.0)
    with pytest.raises(BadSetting, match="must be a whole number, at least 1, or `auto`"):
        Settings.read({"INTARSIA_JOBS_RUNNING": "-1"}, MODELS)
    with pytest.raises(BadSetting, match="must be a number above 0, or `auto`"):
        Settings.read({"INTARSIA_JOBS_MEMORY_MEGABYTES": "half"}, MODELS)


def test_jobs_are_kept_beside_the_artifacts_unless_a_database_is_named() -> None:
    settings = Settings.read({"INTARSIA_ARTIFACTS": "/data/artifacts"}, MODELS)
    assert settings.jobs_database == "sqlite:////data/artifacts/jobs.sqlite"
    assert settings.jobs_lease == 15 and settings.batch_time_limit is None
    assert settings.jobs_interruptions == 10
    address = "postgresql://intarsia@db.example/intarsia"
    said = Settings.read(
        {"INTARSIA_JOBS_DATABASE": address, "INTARSIA_BATCH_TIME_LIMIT_SECONDS": "7200"}, MODELS
    )
    assert (said.jobs_database, said.batch_time_limit) == (address, 7200)


def test_times_to_live_are_days_or_for_ever() -> None:
    left = Settings.read({}, MODELS)
    assert (left.keep_uploads, left.keep_results, left.keep_jobs) == (30 * 86400,) * 3
    assert left.keep_previews == left.keep_intermediates == 0
    said = Settings.read(
        {"INTARSIA_KEEP_UPLOADS_DAYS": "Forever", "INTARSIA_KEEP_PREVIEWS_DAYS": "0.5"}, MODELS
    )
    assert (said.keep_uploads, said.keep_previews) == (inf, 43200)
    with pytest.raises(BadSetting, match="must be a number of days, or `forever`"):
        Settings.read({"INTARSIA_KEEP_JOBS_DAYS": "always"}, MODELS)


@pytest.mark.parametrize("encoder", ENCODERS)
def test_every_encoder_of_colour_clips_can_be_set(encoder: str) -> None:
    assert Settings.read({"INTARSIA_VIDEO_ENCODER": encoder}, MODELS).video_encoder == encoder

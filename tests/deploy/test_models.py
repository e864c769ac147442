"""What is served follows from the weights that are there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from deploy.local.models import MODELS, memory_share, models_for
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import ROOT
from services.denoising.memory_budget import SHARE
from training import tiny


@pytest.fixture(scope="module")
def bundles(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("weights"))


def test_random_weights_serve_every_model(bundles: Path):
    assert models_for(bundles) == MODELS
    assert sorted(MODELS) == sorted(folder.name for folder in (ROOT / "model_repository").iterdir())


def test_denoisers_divide_the_memory_fraction(bundles: Path, tmp_path: Path):
    told = Stack(StackSettings(data=tmp_path / "data", weights=bundles)).triton.settings.environment
    both, alone = float(told["INTARSIA_MEMORY_SHARE"]), memory_share(("sam", "ip2p_unet"))
    assert both == pytest.approx(alone / 2) and alone == SHARE


@pytest.mark.parametrize("gone", ["sd2_inpaint", "sd2_inpaint/unet"])
def test_without_inpainting_weights_the_other_models_are_served_and_a_warning_is_logged(
    bundles: Path, tmp_path: Path, gone: str, caplog: pytest.LogCaptureFixture
):
    """A bundle that is only half there, because it is still being made, is none."""
    fewer = Path(shutil.copytree(bundles, tmp_path / "weights"))
    shutil.rmtree(fewer / gone)
    with caplog.at_level(logging.WARNING):
        stack = Stack(StackSettings(data=tmp_path / "data", weights=fewer))
    assert stack.models == tuple(model for model in MODELS if model != "sd2_inpaint")
    assert tuple(stack.triton.settings.models) == stack.models
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"sd2_inpaint is not served: {fewer} has no sd2_inpaint/")

"""What is served follows from the weights that are there."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path

import pytest

from deploy.local.models import (
    REPOSITORY,
    ConfigError,
    RepositoryModel,
    memory_share,
    repository_models,
    served_models,
)
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import StartError
from services.denoising.memory_budget import SHARE


def test_random_weights_serve_every_model(bundles: Path):
    served = served_models(bundles)
    assert served == repository_models()
    assert [model.name for model in served] == sorted(folder.name for folder in REPOSITORY.iterdir())
    assert [model.name for model in served if model.step_loop] == ["ip2p_unet", "sd2_inpaint"]


def test_denoisers_divide_the_memory_fraction(bundles: Path, tmp_path: Path):
    told = Stack(StackSettings(data=tmp_path / "data", weights=bundles)).triton.settings.environment
    both, alone = (
        float(told["INTARSIA_MEMORY_SHARE"]),
        memory_share([model for model in repository_models() if model.name in ("sam", "ip2p_unet")]),
    )
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
    assert stack.models == tuple(model.name for model in repository_models() if model.name != "sd2_inpaint")
    assert tuple(stack.triton.settings.models) == stack.models
    (said,) = (record.getMessage() for record in caplog.records)
    assert said.startswith(f"sd2_inpaint is not served: {fewer} has no sd2_inpaint/")


def write_config(repository: Path, name: str, text: str) -> None:
    (repository / name).mkdir(parents=True)
    (repository / name / "config.pbtxt").write_text(text)


def test_a_new_folder_of_the_repository_is_a_new_model(tmp_path: Path):
    write_config(
        tmp_path / "models",
        "toy",
        'name: "toy"\nmodel_transaction_policy { decoupled: true }\n'
        'parameters { key: "weights" value { string_value: "toy/unet toy/vae" } }\n'
        'parameters { key: "optional" value { string_value: "true" } }\n',
    )
    write_config(tmp_path / "models", "plain", 'name: "plain"')
    toy = RepositoryModel("toy", ("toy/unet", "toy/vae"), optional=True, step_loop=True)
    plain = RepositoryModel("plain", (), optional=False, step_loop=False)
    assert repository_models(tmp_path / "models") == (plain, toy)
    assert served_models(tmp_path / "weights", tmp_path / "models") == (plain,)
    for part in toy.weights:
        (tmp_path / "weights" / part).mkdir(parents=True)
    assert served_models(tmp_path / "weights", tmp_path / "models") == (plain, toy)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("name: toy", "not a Triton model config"),
        ('parameters { key: "optional" value { string_value: "yes" } }', '"optional" must be'),
        (
            'parameters { key: "working_memory" value { string_value: "2x" } }',
            '"working_memory" must be a number',
        ),
        (
            "instance_group [ { kind: KIND_CPU count: 2 } ]",
            "one instance: count: 1.* `intarsia up --gpu 0,1`",
        ),
        ("instance_group [ { count: 1 gpus: [ 0, 1 ] } ]", "must ask for one instance.*INTARSIA_TRITON_TOY"),
        ("instance_group [ { gpus: [ 0 ] }, { gpus: [ 0 ] } ]", "must ask for one instance"),
        (
            "instance_group [ { kind: KIND_GPU gpus: [ 1 ] } ]",
            r"gpus: \[ 0 \], the only one that its server sees",
        ),
    ],
)
def test_a_wrong_config_is_named_before_anything_starts(bundles: Path, tmp_path: Path, text: str, words: str):
    write_config(tmp_path / "models", "toy", text)
    with pytest.raises(ConfigError, match=words):
        repository_models(tmp_path / "models")
    with pytest.raises(StartError, match=r"toy/config\.pbtxt"):
        Stack(StackSettings(data=tmp_path / "data", weights=bundles, repository=tmp_path / "models"))


def test_several_instances_in_a_profile_are_refused_too(tmp_path: Path):
    write_config(tmp_path, "toy", 'name: "toy"')
    (tmp_path / "toy/configs").mkdir()
    (tmp_path / "toy/configs/cpu.pbtxt").write_text("instance_group [ { kind: KIND_CPU count: 2 } ]")
    with pytest.raises(
        ConfigError, match=r"configs/cpu\.pbtxt: the instance_group must ask for one instance"
    ):
        repository_models(tmp_path)

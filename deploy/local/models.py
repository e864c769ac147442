"""Reads the model repository, and chooses the models to serve: all that have weights.

A model's `config.pbtxt` has the facts that this needs. The parameter `weights` lists the folders of the
weights that the model needs, separated by spaces; one with `optional` may be missing. A decoupled model has a
step loop. `networks` lists what the model itself loads, `bundle/network` each, `*` for every bundle, and
`working_memory` how much a GPU must have beside it, as a multiple of these weights.
"""

from __future__ import annotations

import logging
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).parents[2] / "model_repository"
# The fraction of the free memory of a GPU, or of this machine, that all step loops on it may plan with.
_MEMORY_FRACTION = 0.6


class ConfigError(ValueError):
    """A config of the model repository cannot be read; names its file."""


@dataclass(frozen=True)
class RepositoryModel:
    """A model of the repository. `weights` are folders below the folder of bundles, such as `ip2p/unet`."""

    name: str
    weights: tuple[str, ...]
    optional: bool
    step_loop: bool
    networks: tuple[str, ...] = ()
    working_memory: float = 0.0


def repository_models(repository: Path = REPOSITORY) -> tuple[RepositoryModel, ...]:
    """The models of a repository, by name; raises ConfigError."""
    return tuple(_read(file) for file in sorted(repository.glob("*/config.pbtxt")))


def served_models(weights: Path, repository: Path = REPOSITORY) -> tuple[RepositoryModel, ...]:
    """The models that can be served with these weights. Logs which are left out, and what they lack."""
    served = []
    for model in repository_models(repository):
        missing = [part for part in model.weights if not (weights / part).is_dir()]
        if missing and model.optional:
            log.warning("%s is not served: %s has no %s", model.name, weights, ", ".join(missing))
        else:
            served.append(model)
    return tuple(served)


def memory_share(models: Sequence[RepositoryModel]) -> float:
    """The fraction of free memory that each step loop among the models of one server may plan with."""
    return _MEMORY_FRACTION / max(1, sum(model.step_loop for model in models))


def _read(file: Path) -> RepositoryModel:
    name, config = file.parent.name, _parse(file)
    _check_instances(name, file, config)
    for profile in sorted(file.parent.glob("configs/*.pbtxt")):
        _check_instances(name, profile, _parse(profile))
    optional = _parameter(config, "optional", "false")
    if optional not in ("true", "false"):
        raise ConfigError(f'{file}: the parameter "optional" must be "true" or "false", not {optional!r}')
    working_memory = _parameter(config, "working_memory", "0")
    if not re.fullmatch(r"\d+(\.\d+)?", working_memory):
        raise ConfigError(
            f'{file}: the parameter "working_memory" must be a number such as "1.5", not {working_memory!r}'
        )
    return RepositoryModel(
        name=name,
        weights=tuple(_parameter(config, "weights", "").split()),
        optional=optional == "true",
        step_loop=config.model_transaction_policy.decoupled,
        networks=tuple(_parameter(config, "networks", "").split()),
        working_memory=float(working_memory),
    )


def _parse(file: Path) -> model_config_pb2.ModelConfig:
    try:
        return text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{file} is not a Triton model config: {problem}") from problem


def _parameter(config: model_config_pb2.ModelConfig, name: str, default: str) -> str:
    return config.parameters[name].string_value if name in config.parameters else default


def _check_instances(name: str, file: Path, config: model_config_pb2.ModelConfig) -> None:
    """Raises ConfigError unless the config means one process, on the only GPU that its server sees.

    Triton would choose between several, and each would have adapters, pictures and clips that the others do
    not know.
    """
    groups = config.instance_group
    instances = sum(max(1, group.count) * max(1, len(group.gpus)) for group in groups)
    if instances > 1 or any(gpu for group in groups for gpu in group.gpus):
        raise ConfigError(
            f"{file}: the instance_group must ask for one instance: count: 1, and on a GPU gpus: [ 0 ], the "
            "only one that its server sees. A copy of a model has a server and an address of its own: "
            f"`intarsia up --gpu 0,1` starts one on each GPU, elsewhere INTARSIA_TRITON_{name.upper()} lists "
            "the addresses"
        )

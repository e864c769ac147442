"""Reads the model repository, and chooses the models to serve: all that have weights.

A model's `config.pbtxt` has the facts that this needs. The parameter `weights` lists the folders of the
weights that the model needs, separated by spaces; one with `optional` may be missing. A decoupled model has a
step loop.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from google.protobuf import text_format
from tritonclient.grpc import model_config_pb2

log = logging.getLogger(__name__)

REPOSITORY = Path(__file__).parents[2] / "model_repository"
# The fraction of this machine's free memory that all step loops together may plan with.
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
    """The fraction of free memory that each step loop among these models may plan with."""
    return _MEMORY_FRACTION / max(1, sum(model.step_loop for model in models))


def _read(file: Path) -> RepositoryModel:
    try:
        config = text_format.Parse(file.read_text(encoding="utf-8"), model_config_pb2.ModelConfig())
    except (text_format.ParseError, UnicodeDecodeError) as problem:
        raise ConfigError(f"{file} is not a Triton model config: {problem}") from problem
    optional = config.parameters["optional"].string_value if "optional" in config.parameters else "false"
    if optional not in ("true", "false"):
        raise ConfigError(f'{file}: the parameter "optional" must be "true" or "false", not {optional!r}')
    weights = config.parameters["weights"].string_value if "weights" in config.parameters else ""
    return RepositoryModel(
        name=file.parent.name,
        weights=tuple(weights.split()),
        optional=optional == "true",
        step_loop=config.model_transaction_policy.decoupled,
    )

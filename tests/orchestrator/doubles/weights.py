"""Weights of models: requests may name them, and facts say which are loaded."""

from __future__ import annotations

import grpc

from orchestrator.triton.tensors import Tensors, from_text
from tests.orchestrator.doubles.refused import Refused


def check_weights(inputs: Tensors, weights: str) -> None:
    if "weights" in inputs and from_text(inputs["weights"]) != weights:
        raise Refused("OTHER_WEIGHTS: the weights here have another digest", grpc.StatusCode.NOT_FOUND)


def families(weights: str) -> dict[str, dict[str, str]]:
    return {name: {"weights": weights} for name in ("ip2p", "sd2_inpaint")}

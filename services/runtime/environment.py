"""The device, weights and limits of a model, from Triton's arguments and the process environment."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from services.bundles.bundle import Bundle, open_bundles
from services.denoising import memory_budget

WEIGHTS = "INTARSIA_WEIGHTS"
RUNNING = "INTARSIA_ENGINE_RUNNING"
SHARE = "INTARSIA_MEMORY_SHARE"
CACHE = "INTARSIA_CACHE"
COMPILE = "INTARSIA_COMPILE"
_COMPILED = {"on": True, "off": False, "auto": False}  # auto: whatever measurements favour
_ALLOCATOR = ("PYTORCH_CUDA_ALLOC_CONF", "PYTORCH_ALLOC_CONF")  # its older name and its newer one


def device_of(args: Mapping[str, Any]) -> torch.device:
    """The device Triton placed this instance on; raises RuntimeError if the model has other instances.

    Each would be a process with adapters, pictures and clips that the others do not know, and Triton would
    choose between them.

    For a GPU this also sets the allocator's options, which PyTorch reads at its first allocation, unless the
    environment has some: sizes of pictures change, and segments that can grow leave fewer gaps.
    """
    groups = json.loads(args["model_config"]).get("instance_group", [])
    instances = sum(max(1, group.get("count", 1)) * max(1, len(group.get("gpus", []))) for group in groups)
    if instances > 1:
        raise RuntimeError(
            f"the instance_group of {args['model_name']} means {instances} instances in one server; let it "
            "have count: 1 and one entry in gpus, start a server for each copy, and list their addresses in "
            f"the orchestrator's INTARSIA_TRITON_{args['model_name'].upper()}, or use `intarsia up --gpu 0,1`"
        )
    if args["model_instance_kind"] == "GPU":
        if not any(name in os.environ for name in _ALLOCATOR):
            os.environ[_ALLOCATOR[0]] = "expandable_segments:True"
        return torch.device("cuda", int(args["model_instance_device_id"]))
    return torch.device("cpu")


def weights_folder() -> Path:
    """The folder of bundles; raises RuntimeError if the environment names none."""
    folder = os.environ.get(WEIGHTS)
    if not folder:
        raise RuntimeError(f"{WEIGHTS} is not set: it names the folder that holds the bundles of weights")
    return Path(folder)


def bundle_named(name: str) -> Bundle:
    """The bundle of this name among the weights of this server."""
    return Bundle.open(weights_folder() / name)


def bundles() -> list[Bundle]:
    """Every bundle among the weights of this server."""
    return list(open_bundles(weights_folder()).values())


def running_at_once() -> int | None:
    """The most requests that may run at a time; None if it is not set. 1 is for benchmarks only."""
    words = os.environ.get(RUNNING, "").strip()
    if not words:
        return None
    if not words.isdigit() or int(words) < 1:
        raise RuntimeError(f"{RUNNING}={words!r}: must be a whole number, at least 1")
    return int(words)


def memory_share() -> float:
    """The share of the free memory that an engine may plan with."""
    words = os.environ.get(SHARE, "").strip()
    if not words:
        return memory_budget.SHARE
    try:
        share = float(words)
    except ValueError:
        share = 0.0
    if not 0 < share <= 1:
        raise RuntimeError(f"{SHARE}={words!r}: must be a number above 0, at most 1")
    return share


def cache_folder() -> Path | None:
    """The folder for what can be made again, such as prices and compiled code; None if there is none."""
    folder = os.environ.get(CACHE, "").strip()
    return Path(folder) if folder else None


def compile_wanted() -> bool:
    """Whether a network on a GPU is compiled when it is loaded."""
    words = os.environ.get(COMPILE, "").strip() or "auto"
    if words not in _COMPILED:
        raise RuntimeError(f"{COMPILE}={words!r}: must be one of {', '.join(_COMPILED)}")
    return _COMPILED[words]

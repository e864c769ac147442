"""Prints the free memory of GPUs, and how much of it networks take, as one JSON object.

    python -m services.runtime.gpu_memory WEIGHTS --gpus 0,1 --networks ip2p/unet '*/vae'

It is a program of its own because only a process that uses a GPU can ask for its free memory, and that use
takes some itself until the process ends.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch

from services.bundles.bundle import NETWORKS, Bundle, BundleError, open_bundles


def gpus(wanted: Sequence[int] | None = None, cuda: Any = torch.cuda) -> dict[str, Any]:
    """How many GPUs torch can use (`count`), and those that are wanted, or all: name and free bytes of each.

    An index that does not exist is left out. A GPU that cannot be used has the reason instead of bytes. With
    none at all, `reason` says why.
    """
    count = cuda.device_count() if cuda.is_available() else 0
    if not count:
        built = torch.version.cuda or torch.version.hip
        reason = (
            "its driver or CUDA_VISIBLE_DEVICES shows none" if built else "this torch is built without CUDA"
        )
        return {"count": 0, "gpus": [], "reason": reason}
    indices = range(count) if wanted is None else [index for index in wanted if index < count]
    return {"count": count, "gpus": [_gpu(index, cuda) for index in indices]}


def network_bytes(weights: Path, name: str) -> int:
    """Bytes that the weights of `bundle/network` take on a GPU; 0 if that bundle has no such network.

    `*` as the bundle stands for every one in the folder.
    """
    bundle, _, network = name.partition("/")
    if network not in NETWORKS:
        raise BundleError(f"{name!r} must be a bundle and one of its networks: {', '.join(NETWORKS)}")
    opened = open_bundles(weights).values() if bundle == "*" else [Bundle.open(weights / bundle)]
    device = torch.device("cuda")
    return sum(one.loaded_bytes(network, device) for one in opened if network in one.components)


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 1 if a bundle cannot be read."""
    parser = argparse.ArgumentParser(description="Prints the free memory of GPUs, and what networks take.")
    parser.add_argument("weights", type=Path, help="folder of bundles")
    parser.add_argument("--gpus", help="indices of GPUs, separated by commas; absent: all")
    parser.add_argument("--networks", nargs="*", default=[], help="bundle/network, `*` for every bundle")
    options = parser.parse_args(argv)
    wanted = [int(index) for index in options.gpus.split(",")] if options.gpus else None
    try:
        networks = {name: network_bytes(options.weights, name) for name in options.networks}
    except BundleError as fault:
        print(fault, file=sys.stderr)
        return 1
    print(json.dumps({**gpus(wanted), "networks": networks}))
    return 0


def _gpu(index: int, cuda: Any) -> dict[str, Any]:
    gpu = {"index": index, "name": cuda.get_device_name(index)}
    try:
        free, _ = cuda.mem_get_info(index)
    except RuntimeError as fault:  # every error of CUDA is one
        return {**gpu, "reason": str(fault).splitlines()[0]}
    return {**gpu, "free": free}


if __name__ == "__main__":
    raise SystemExit(main())

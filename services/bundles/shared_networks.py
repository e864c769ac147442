"""Loads one component of several bundles; those with equal weights and number type share one network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import torch
from torch import nn

from services.bundles.bundle import REMEDY, Bundle, BundleError


@dataclass(frozen=True)
class SharedNetwork:
    """A network of a bundle. Bundles with equal weights and number type have the same network object."""

    bundle: Bundle
    network: nn.Module
    digest: str  # of the network's config and weights


def load_shared(
    bundles: Iterable[Bundle],
    component: str,
    number_type: Callable[[Bundle], torch.dtype],
    load: Callable[[Bundle, torch.dtype], nn.Module],
) -> list[SharedNetwork]:
    """The component of every bundle that has it; raises BundleError if none has."""
    networks: dict[tuple[str, torch.dtype], nn.Module] = {}
    loaded: list[SharedNetwork] = []
    for bundle in bundles:
        if component in bundle.components:
            digest, dtype = bundle.digest_of(component), number_type(bundle)
            if (digest, dtype) not in networks:
                networks[digest, dtype] = load(bundle, dtype)
            loaded.append(SharedNetwork(bundle, networks[digest, dtype], digest))
    if not loaded:
        raise BundleError(f"no bundle has a {component}; {REMEDY}")
    return loaded

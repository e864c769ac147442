"""Loads one component of several bundles; bundles with equal weights share one network."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from services.bundles.bundle import REMEDY, Bundle, BundleError


@dataclass(frozen=True)
class SharedNetwork:
    """A network of a bundle. Bundles with equal weights have the same network object."""

    bundle: Bundle
    network: nn.Module
    digest: str  # of the network's config and weights


def load_shared(
    bundles: Iterable[Bundle], component: str, load: Callable[[Bundle], nn.Module]
) -> list[SharedNetwork]:
    """The component of every bundle that has it; raises BundleError if none has."""
    networks: dict[str, nn.Module] = {}
    loaded: list[SharedNetwork] = []
    for bundle in bundles:
        if component in bundle.components:
            digest = bundle.digest_of(component)
            if digest not in networks:
                networks[digest] = load(bundle)
            loaded.append(SharedNetwork(bundle, networks[digest], digest))
    if not loaded:
        raise BundleError(f"no bundle has a {component}; {REMEDY}")
    return loaded

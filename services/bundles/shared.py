"""The same network of several bundles, side by side: equal weights are held once."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from torch import nn

from services.bundles.bundle import REMEDY, Bundle, BundleError


@dataclass(frozen=True)
class Shelved:
    """A network of a bundle. Bundles with equal weights have the same network object."""

    bundle: Bundle
    network: nn.Module
    digest: str  # of the network's config and weights


def shelve(bundles: Iterable[Bundle], component: str, load: Callable[[Bundle], nn.Module]) -> list[Shelved]:
    """The component of every bundle that has it. A server without any is a fault."""
    networks: dict[str, nn.Module] = {}
    shelved: list[Shelved] = []
    for bundle in bundles:
        if component in bundle.components:
            digest = bundle.digest_of(component)
            if digest not in networks:
                networks[digest] = load(bundle)
            shelved.append(Shelved(bundle, networks[digest], digest))
    if not shelved:
        raise BundleError(f"no bundle has a {component}; {REMEDY}")
    return shelved

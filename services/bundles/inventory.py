"""Comparison of the tensors in weight files with those that a network needs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from torch import nn

from services.bundles.names import match
from services.bundles.tensor_files import FLOATING, StoredTensor


@dataclass(frozen=True)
class Inventory:
    """The comparison for one component. It is sound if the network can be loaded."""

    component: str
    network: str  # class name
    parameters: int  # the number of learned values
    pairs: Mapping[str, str]  # the network's name -> the stored name
    missing: tuple[str, ...]
    unexpected: tuple[str, ...]
    misshapen: tuple[str, ...]  # name, what is stored, what is wanted

    @property
    def sound(self) -> bool:
        return not (self.missing or self.unexpected or self.misshapen)

    def __str__(self) -> str:
        if self.sound:
            return f"{self.component} ({self.network}): every tensor is there, {self.parameters:,} numbers"
        faults = {"missing": self.missing, "unexpected": self.unexpected, "wrongly shaped": self.misshapen}
        lines = [f"  {word}: {name}" for word, names in faults.items() for name in names]
        counts = ", ".join(f"{len(names)} {word}" for word, names in faults.items() if names)
        return "\n".join(
            [f"{self.component} ({self.network}) does not fit its config ({counts} tensors)", *lines]
        )


def compare(component: str, network: nn.Module, stored: Mapping[str, StoredTensor]) -> Inventory:
    """Compare the tensors of a network, which may be on the meta device, with stored ones."""
    wanted = network.state_dict()
    found = match(wanted, stored)
    misshapen = []
    for name, source in sorted(found.pairs.items()):
        want, have = wanted[name], stored[source]
        if tuple(want.shape) != have.shape:
            misshapen.append(f"{name}: stored {list(have.shape)}, wanted {list(want.shape)}")
        elif want.is_floating_point() and have.dtype not in FLOATING:
            misshapen.append(f"{name}: stored as {have.dtype}, wanted floating numbers")
    return Inventory(
        component=component,
        network=type(network).__name__,
        parameters=sum(parameter.numel() for parameter in network.parameters()),
        pairs=found.pairs,
        missing=found.missing,
        unexpected=found.unexpected,
        misshapen=tuple(misshapen),
    )

"""Verifies that a bundle is complete, from configs and file headers; no weights are read."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from services.bundles.architectures import build_on_meta
from services.bundles.bundle import Bundle, BundleError
from services.bundles.inventory import Inventory


@dataclass(frozen=True)
class BundleReport:
    """The result. `problems` are faults because of which a component could not be compared."""

    bundle: str
    inventories: tuple[Inventory, ...]
    problems: tuple[str, ...]

    @property
    def sound(self) -> bool:
        return not self.problems and all(inventory.sound for inventory in self.inventories)

    def __str__(self) -> str:
        lines = [str(inventory) for inventory in self.inventories] + list(self.problems)
        return "\n".join([f"{self.bundle}: {'sound' if self.sound else 'not sound'}", *lines])

    def as_dict(self) -> dict[str, Any]:
        """The report as JSON values, without the tensors that are right."""
        components = {
            item.component: {
                "network": item.network,
                "parameters": item.parameters,
                "missing": list(item.missing),
                "unexpected": list(item.unexpected),
                "misshapen": list(item.misshapen),
            }
            for item in self.inventories
        }
        return {
            "bundle": self.bundle,
            "sound": self.sound,
            "components": components,
            "problems": list(self.problems),
        }


def verify(folder: str | Path) -> BundleReport:
    """Compare every network of a bundle with its config, and load its tokenizers and scheduler."""
    bundle = Bundle.open(folder)
    inventories: list[Inventory] = []
    problems: list[str] = []

    def attempt(check: Callable[[], Any]) -> Any:
        try:
            return check()
        except BundleError as problem:
            problems.append(str(problem))
            return None

    for component in bundle.components:
        inventory = attempt(partial(bundle.inventory, component))
        if inventory is not None:
            inventories.append(inventory)
    for component in ("text_encoder", "text_head"):
        if component in bundle.components:
            attempt(partial(_check_tokenizer, bundle, component))
    if "text_head" in bundle.components:
        attempt(bundle.preprocessor)
    if "unet" in bundle.components:
        attempt(bundle.scheduler_config)
    return BundleReport(bundle.name, tuple(inventories), tuple(problems))


def _check_tokenizer(bundle: Bundle, component: str) -> None:
    settings = build_on_meta(component, bundle.config(component)).config
    tokens = len(bundle.tokenizer(component))
    vocabulary = getattr(getattr(settings, "text_config", settings), "vocab_size", 0)
    if tokens > vocabulary:
        raise BundleError(
            f"bundle {bundle.name}: the tokenizer knows {tokens} tokens but the {component} only "
            f"{vocabulary}; "
            "they are not of the same weights"
        )

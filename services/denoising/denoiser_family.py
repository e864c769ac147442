"""The protocol between a family of denoisers and its server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from torch import Tensor, nn

from services.acceleration.passes import Passes
from services.adapters.cache import LoadedAdapter
from services.denoising.costs import Costs
from services.denoising.family import Family, Request


class DenoiserFamily(Family, Protocol):
    """A family that is made from a bundle and takes requests."""

    @property
    def inputs(self) -> Sequence[str]:
        """The names of its input tensors."""

    @property
    def network(self) -> nn.Module:
        """The network that adapters are applied to."""

    @property
    def passes(self) -> Passes:
        """The way its network is run."""

    def works(self) -> Sequence[int]:
        """Work of a row at which passes are measured when the model is loaded."""

    def request(self, tensors: Mapping[str, Tensor]) -> Request:
        """Checks a request's tensors; raises Refusal."""

    def adapter(self, content: Tensor) -> LoadedAdapter:
        """Reads a file's bytes as an adapter of the network; raises Refusal."""

    def probe(self) -> Request:
        """The smallest request there is."""

    def typical(self) -> Request:
        """A request of the size that the weights were made for, with the bundle's defaults."""

    def cost(self, tensors: Mapping[str, Tensor], costs: Costs) -> dict[str, Any]:
        """The answer to `ask` = "cost"; raises Refusal."""

    def facts(self) -> dict[str, Any]:
        """Facts about the loaded network and the requests it takes.

        `weights`; `path`, by which reproducible requests run; `size`, `multiple` and `factor`; `schedulers`
        with `most_steps` of each; `guidance` with default and range of each of its numbers, in the order of
        the tensor; `preparation`, numbers for what happens to a picture before; `defaults` of them all.
        """

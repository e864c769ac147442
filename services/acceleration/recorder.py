"""The contract of a recorder of forward passes, and what may be recorded."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Protocol, TypeVar

from torch import Tensor

# Takes tensors of equal length, one row of each for each row of the result. It may neither wait for a value
# of theirs nor read any other tensor that is not the network's own.
Forward = Callable[..., Tensor]
Output = TypeVar("Output")  # a tensor, or a tuple of some
OutputCo = TypeVar("OutputCo", covariant=True)


class Recording(Protocol[OutputCo]):
    """A recorded pass. It reads the tensors it was recorded with, and always writes the same `output`."""

    @property
    def output(self) -> OutputCo:
        """The result of the last replay; the next one overwrites it."""

    def replay(self) -> None:
        """Computes the output of what its inputs hold now, without running the pass's Python code."""

    def release(self) -> None:
        """Ends its use of memory; it is not replayed any more."""


class Recorder(Protocol):
    """Records passes, all in one pool of memory, which they may share as one is replayed at a time."""

    def record(self, forward: Callable[..., Output], inputs: Sequence[Tensor]) -> Recording[Output]:
        """Records a pass that reads these tensors; raises RuntimeError if the device cannot.

        The first replay computes the first output.
        """

    def pool_bytes(self) -> int:
        """The memory that the pool takes from the device."""

    def renew_pool(self) -> None:
        """Gives the pool back to the device. Every recording must have been released."""

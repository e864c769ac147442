"""One recorded pass with the tensors it reads."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor

from services.acceleration.recorder import Forward, Recorder
from services.acceleration.row_counts import padded

_DRIVER_BYTES = 8 << 20  # about what the driver keeps for a graph of some thousand launches


class PassGraph:
    """A recording of one shape. Results are copies: a later pass does not change them."""

    def __init__(self, recorder: Recorder, forward: Forward, inputs: Sequence[Tensor], rows: int) -> None:
        """Records a pass of so many rows; `inputs` have at most as many. Raises RuntimeError."""
        self._inputs = tuple(padded(tensor, rows).clone() for tensor in inputs)
        self._recording = recorder.record(forward, self._inputs)
        self.input_bytes = sum(tensor.nbytes for tensor in self._inputs)

    @property
    def nbytes(self) -> int:
        """The memory that it takes beside the pool."""
        return self.input_bytes + _DRIVER_BYTES

    def run(self, inputs: Sequence[Tensor]) -> Tensor:
        """The result for these inputs, one row for each of theirs."""
        rows = len(inputs[0])
        for own, tensor in zip(self._inputs, inputs, strict=True):
            own[:rows].copy_(tensor)
            if rows < len(own):
                own[rows:].copy_(tensor[-1:].expand(len(own) - rows, *tensor.shape[1:]))
        self._recording.replay()
        return self._recording.output[:rows].clone()

    def release(self) -> None:
        """Ends its use of memory."""
        self._recording.release()

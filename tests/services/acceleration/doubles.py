"""A recorder of passes on a processor, with the contract of CUDA graphs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, Generic

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from services.acceleration.recorder import Output


class Tape(TorchDispatchMode):
    """Writes down every operation with the tensors it read and wrote; refuses to wait for a value."""

    def __init__(self) -> None:
        super().__init__()
        # Each with the tensors that it made, by their place among its results; views are not among them.
        self.operations: list[tuple[Any, tuple, dict, dict[int, Tensor]]] = []

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        if operation is torch.ops.aten._local_scalar_dense.default:
            raise RuntimeError("operation not permitted when stream is capturing")
        result = operation(*args, **kwargs)
        read = {tensor.untyped_storage().data_ptr() for tensor in _tensors((args, kwargs))}
        made = {
            place: tensor
            for place, tensor in enumerate(_tensors(result))
            if tensor.numel() and tensor.untyped_storage().data_ptr() not in read
        }
        self.operations.append((operation, args, kwargs, made))
        return result


class TapeRecording(Generic[Output]):
    """Operations that are run again on the same tensors, without the Python code between them."""

    def __init__(self, recorder: TapeRecorder, tape: Tape, output: Output) -> None:
        self._recorder, self._tape, self.output = recorder, tape, output
        self.nbytes = sum(tensor.nbytes for *_, made in tape.operations for tensor in made.values())
        for tensor in _tensors(output):
            tensor.fill_(torch.nan)  # a capture computes nothing

    def replay(self) -> None:
        assert self in self._recorder.recordings, "a graph that was released is replayed"
        for operation, args, kwargs, made in self._tape.operations:
            results = _tensors(operation(*args, **kwargs))
            for place, tensor in made.items():
                tensor.copy_(results[place])

    def release(self) -> None:
        self._recorder.recordings.remove(self)


class TapeRecorder:
    """Records passes on the processor; as many captures as are `failing` fail as on a GPU.

    The pool is as large as the largest recording in it since it was renewed.
    """

    def __init__(self) -> None:
        self.recordings: list[TapeRecording] = []
        self.captures = 0
        self.failing = 0
        self.renewals = 0
        self._pool = 0

    def record(self, forward: Callable[..., Output], inputs: Sequence[Tensor]) -> TapeRecording[Output]:
        self.captures += 1
        if self.failing:
            self.failing -= 1
            raise RuntimeError("CUDA error: operation not permitted when stream is capturing\nand so on")
        with Tape() as tape:
            output = forward(*inputs)
        recording = TapeRecording(self, tape, output)
        self.recordings.append(recording)
        self._pool = max(self._pool, recording.nbytes)
        return recording

    def pool_bytes(self) -> int:
        return self._pool

    def renew_pool(self) -> None:
        assert not self.recordings, "a pool is renewed while graphs use it"
        self.renewals += 1
        self._pool = 0


def _tensors(values: Any) -> list[Tensor]:
    return [leaf for leaf in tree_leaves(values) if isinstance(leaf, Tensor)]

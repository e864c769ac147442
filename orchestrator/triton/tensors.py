"""Tensors on the wire: named numpy arrays to KServe v2 messages and back.

Text crosses as UINT8 holding JSON, never as BYTES.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from google.protobuf.message import DecodeError
from tritonclient.grpc import service_pb2 as kserve

from intarsia.errors import InternalError

Tensors = Mapping[str, np.ndarray]

_NAMES: dict[np.dtype[Any], str] = {
    np.dtype(dtype): name
    for dtype, name in {
        "bool": "BOOL",
        "u1": "UINT8",
        "u2": "UINT16",
        "u4": "UINT32",
        "u8": "UINT64",
        "i1": "INT8",
        "i2": "INT16",
        "i4": "INT32",
        "i8": "INT64",
        "f2": "FP16",
        "f4": "FP32",
        "f8": "FP64",
    }.items()
}
_DTYPES = {name: dtype for dtype, name in _NAMES.items()}


def text(value: object) -> np.ndarray:
    """Any JSON value as a tensor of its UTF-8 bytes."""
    return np.frombuffer(json.dumps(value, ensure_ascii=False).encode(), np.uint8)


def from_text(tensor: np.ndarray) -> Any:
    """The JSON value in a tensor made by `text`."""
    return json.loads(tensor.astype(np.uint8).tobytes().decode())


def request(model: str, inputs: Tensors, *, seconds: float | None = None) -> kserve.ModelInferRequest:
    """A request to a model; `seconds` is its time limit, which the model can read and obey."""
    message = kserve.ModelInferRequest(model_name=model)
    if seconds is not None:
        message.parameters["timeout"].int64_param = max(1, int(seconds * 1e6))
    for name, tensor in inputs.items():
        message.inputs.add(name=name, datatype=_NAMES[tensor.dtype], shape=tensor.shape)
        message.raw_input_contents.append(np.ascontiguousarray(tensor).tobytes())
    return message


def answer(message: kserve.ModelInferResponse) -> dict[str, np.ndarray]:
    """The tensors of a reply, read-only."""
    if len(message.outputs) != len(message.raw_output_contents):
        raise InternalError(f"{message.model_name} announced other tensors than it sent")
    tensors = {}
    for output, raw in zip(message.outputs, message.raw_output_contents, strict=True):
        dtype = _DTYPES.get(output.datatype)
        if dtype is None or math.prod(output.shape) * dtype.itemsize != len(raw):
            raise InternalError(f"{message.model_name} sent {output.name} in a form that cannot be read")
        tensors[output.name] = np.frombuffer(raw, dtype).reshape(tuple(output.shape))
    return tensors


def to_bytes(model: str, inputs: Tensors, *, seconds: float | None = None) -> bytes:
    """A request as it goes over the wire."""
    return request(model, inputs, seconds=seconds).SerializeToString()


def from_bytes(data: bytes) -> dict[str, np.ndarray]:
    """The tensors of a reply as it came over the wire, read-only."""
    try:
        return answer(kserve.ModelInferResponse.FromString(data))
    except DecodeError as error:
        raise InternalError(f"a model's reply cannot be read: {error}") from None


def is_last(message: kserve.ModelInferResponse) -> bool:
    """True if this is the last reply of a decoupled model."""
    return message.parameters["triton_final_response"].bool_param

from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class InspectAdapterRequest(_message.Message):
    __slots__ = ("adapter", "model")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    model: str
    def __init__(self, adapter: _Optional[str] = ..., model: _Optional[str] = ...) -> None: ...

class InspectAdapterResponse(_message.Message):
    __slots__ = ("kind", "layout", "rank", "matched", "unexpected", "unexpected_count", "parameters", "weights", "metadata")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[InspectAdapterResponse.Kind]
        KIND_LORA: _ClassVar[InspectAdapterResponse.Kind]
        KIND_WEIGHTS: _ClassVar[InspectAdapterResponse.Kind]
    KIND_UNSPECIFIED: InspectAdapterResponse.Kind
    KIND_LORA: InspectAdapterResponse.Kind
    KIND_WEIGHTS: InspectAdapterResponse.Kind
    class MetadataEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    KIND_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    RANK_FIELD_NUMBER: _ClassVar[int]
    MATCHED_FIELD_NUMBER: _ClassVar[int]
    UNEXPECTED_FIELD_NUMBER: _ClassVar[int]
    UNEXPECTED_COUNT_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    METADATA_FIELD_NUMBER: _ClassVar[int]
    kind: InspectAdapterResponse.Kind
    layout: str
    rank: int
    matched: int
    unexpected: _containers.RepeatedScalarFieldContainer[str]
    unexpected_count: int
    parameters: int
    weights: str
    metadata: _containers.ScalarMap[str, str]
    def __init__(self, kind: _Optional[_Union[InspectAdapterResponse.Kind, str]] = ..., layout: _Optional[str] = ..., rank: _Optional[int] = ..., matched: _Optional[int] = ..., unexpected: _Optional[_Iterable[str]] = ..., unexpected_count: _Optional[int] = ..., parameters: _Optional[int] = ..., weights: _Optional[str] = ..., metadata: _Optional[_Mapping[str, str]] = ...) -> None: ...

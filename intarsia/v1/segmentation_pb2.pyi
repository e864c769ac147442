from intarsia.v1 import region_pb2 as _region_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SegmentRegionRequest(_message.Message):
    __slots__ = ("picture", "region")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    picture: str
    region: _region_pb2.Region
    def __init__(self, picture: _Optional[str] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ...) -> None: ...

class SegmentRegionResponse(_message.Message):
    __slots__ = ("instances", "region", "width", "height", "notes")
    INSTANCES_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    instances: _containers.RepeatedCompositeFieldContainer[_region_pb2.Instance]
    region: _region_pb2.Instance
    width: int
    height: int
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, instances: _Optional[_Iterable[_Union[_region_pb2.Instance, _Mapping]]] = ..., region: _Optional[_Union[_region_pb2.Instance, _Mapping]] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

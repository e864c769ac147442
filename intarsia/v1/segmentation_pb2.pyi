import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from intarsia.v1 import jobs_pb2 as _jobs_pb2
from intarsia.v1 import region_pb2 as _region_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class SegmentRegionRequest(_message.Message):
    __slots__ = ("picture", "region", "strict")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    picture: str
    region: _region_pb2.Region
    strict: bool
    def __init__(self, picture: _Optional[str] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ..., strict: bool = ...) -> None: ...

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

class TrackRegionRequest(_message.Message):
    __slots__ = ("clip", "sightings", "frames", "overlay", "time_limit", "request_id", "priority", "labels", "kind", "watched_within")
    CLIP_FIELD_NUMBER: _ClassVar[int]
    SIGHTINGS_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WATCHED_WITHIN_FIELD_NUMBER: _ClassVar[int]
    clip: str
    sightings: _containers.RepeatedCompositeFieldContainer[Sighting]
    frames: int
    overlay: bool
    time_limit: _duration_pb2.Duration
    request_id: str
    priority: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    kind: _jobs_pb2.Job.Kind
    watched_within: _duration_pb2.Duration
    def __init__(self, clip: _Optional[str] = ..., sightings: _Optional[_Iterable[_Union[Sighting, _Mapping]]] = ..., frames: _Optional[int] = ..., overlay: bool = ..., time_limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., priority: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., kind: _Optional[_Union[_jobs_pb2.Job.Kind, str]] = ..., watched_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

class Sighting(_message.Message):
    __slots__ = ("frame", "region")
    FRAME_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    frame: int
    region: _region_pb2.Region
    def __init__(self, frame: _Optional[int] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ...) -> None: ...

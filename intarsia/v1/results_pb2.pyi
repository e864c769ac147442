import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from intarsia.v1 import region_pb2 as _region_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Result(_message.Message):
    __slots__ = ("picture", "track")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    picture: PictureResult
    track: TrackResult
    def __init__(self, picture: _Optional[_Union[PictureResult, _Mapping]] = ..., track: _Optional[_Union[TrackResult, _Mapping]] = ...) -> None: ...

class PictureResult(_message.Message):
    __slots__ = ("picture", "mask", "region", "manifest", "candidates", "parts", "views", "collage")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    MANIFEST_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    PARTS_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    COLLAGE_FIELD_NUMBER: _ClassVar[int]
    picture: str
    mask: str
    region: _region_pb2.Instance
    manifest: Manifest
    candidates: _containers.RepeatedCompositeFieldContainer[Candidate]
    parts: _containers.RepeatedCompositeFieldContainer[Part]
    views: _containers.RepeatedCompositeFieldContainer[View]
    collage: str
    def __init__(self, picture: _Optional[str] = ..., mask: _Optional[str] = ..., region: _Optional[_Union[_region_pb2.Instance, _Mapping]] = ..., manifest: _Optional[_Union[Manifest, _Mapping]] = ..., candidates: _Optional[_Iterable[_Union[Candidate, _Mapping]]] = ..., parts: _Optional[_Iterable[_Union[Part, _Mapping]]] = ..., views: _Optional[_Iterable[_Union[View, _Mapping]]] = ..., collage: _Optional[str] = ...) -> None: ...

class TrackResult(_message.Message):
    __slots__ = ("masks", "track", "overlay", "frames", "seen", "width", "height", "stage_times", "weights", "notes")
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    MASKS_FIELD_NUMBER: _ClassVar[int]
    TRACK_FIELD_NUMBER: _ClassVar[int]
    OVERLAY_FIELD_NUMBER: _ClassVar[int]
    FRAMES_FIELD_NUMBER: _ClassVar[int]
    SEEN_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STAGE_TIMES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    masks: str
    track: str
    overlay: str
    frames: int
    seen: int
    width: int
    height: int
    stage_times: _containers.RepeatedCompositeFieldContainer[StageTime]
    weights: _containers.ScalarMap[str, str]
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, masks: _Optional[str] = ..., track: _Optional[str] = ..., overlay: _Optional[str] = ..., frames: _Optional[int] = ..., seen: _Optional[int] = ..., width: _Optional[int] = ..., height: _Optional[int] = ..., stage_times: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., weights: _Optional[_Mapping[str, str]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Candidate(_message.Message):
    __slots__ = ("picture", "seed", "views")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    picture: str
    seed: int
    views: _containers.RepeatedCompositeFieldContainer[View]
    def __init__(self, picture: _Optional[str] = ..., seed: _Optional[int] = ..., views: _Optional[_Iterable[_Union[View, _Mapping]]] = ...) -> None: ...

class Part(_message.Message):
    __slots__ = ("region", "instruction", "crop", "sheets", "grow", "feather")
    REGION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    SHEETS_FIELD_NUMBER: _ClassVar[int]
    GROW_FIELD_NUMBER: _ClassVar[int]
    FEATHER_FIELD_NUMBER: _ClassVar[int]
    region: _region_pb2.Instance
    instruction: str
    crop: _region_pb2.PixelBox
    sheets: _containers.RepeatedCompositeFieldContainer[Sheet]
    grow: float
    feather: float
    def __init__(self, region: _Optional[_Union[_region_pb2.Instance, _Mapping]] = ..., instruction: _Optional[str] = ..., crop: _Optional[_Union[_region_pb2.PixelBox, _Mapping]] = ..., sheets: _Optional[_Iterable[_Union[Sheet, _Mapping]]] = ..., grow: _Optional[float] = ..., feather: _Optional[float] = ...) -> None: ...

class Sheet(_message.Message):
    __slots__ = ("box", "working_width", "working_height")
    BOX_FIELD_NUMBER: _ClassVar[int]
    WORKING_WIDTH_FIELD_NUMBER: _ClassVar[int]
    WORKING_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    box: _region_pb2.PixelBox
    working_width: int
    working_height: int
    def __init__(self, box: _Optional[_Union[_region_pb2.PixelBox, _Mapping]] = ..., working_width: _Optional[int] = ..., working_height: _Optional[int] = ...) -> None: ...

class View(_message.Message):
    __slots__ = ("kind", "picture")
    class Kind(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        KIND_UNSPECIFIED: _ClassVar[View.Kind]
        KIND_SIDE_BY_SIDE: _ClassVar[View.Kind]
        KIND_OVERLAY: _ClassVar[View.Kind]
        KIND_BLANK: _ClassVar[View.Kind]
        KIND_LAYER: _ClassVar[View.Kind]
    KIND_UNSPECIFIED: View.Kind
    KIND_SIDE_BY_SIDE: View.Kind
    KIND_OVERLAY: View.Kind
    KIND_BLANK: View.Kind
    KIND_LAYER: View.Kind
    KIND_FIELD_NUMBER: _ClassVar[int]
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    kind: View.Kind
    picture: str
    def __init__(self, kind: _Optional[_Union[View.Kind, str]] = ..., picture: _Optional[str] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("seed", "steps", "guidance", "scheduler", "reproducible", "crop", "working_width", "working_height", "stage_times", "weights", "adapters", "notes", "path", "licences", "model")
    class GuidanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class WeightsEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    class AdaptersEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    class LicencesEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    REPRODUCIBLE_FIELD_NUMBER: _ClassVar[int]
    CROP_FIELD_NUMBER: _ClassVar[int]
    WORKING_WIDTH_FIELD_NUMBER: _ClassVar[int]
    WORKING_HEIGHT_FIELD_NUMBER: _ClassVar[int]
    STAGE_TIMES_FIELD_NUMBER: _ClassVar[int]
    WEIGHTS_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    PATH_FIELD_NUMBER: _ClassVar[int]
    LICENCES_FIELD_NUMBER: _ClassVar[int]
    MODEL_FIELD_NUMBER: _ClassVar[int]
    seed: int
    steps: int
    guidance: _containers.ScalarMap[str, float]
    scheduler: str
    reproducible: bool
    crop: _region_pb2.PixelBox
    working_width: int
    working_height: int
    stage_times: _containers.RepeatedCompositeFieldContainer[StageTime]
    weights: _containers.ScalarMap[str, str]
    adapters: _containers.ScalarMap[str, float]
    notes: _containers.RepeatedScalarFieldContainer[str]
    path: str
    licences: _containers.ScalarMap[str, str]
    model: str
    def __init__(self, seed: _Optional[int] = ..., steps: _Optional[int] = ..., guidance: _Optional[_Mapping[str, float]] = ..., scheduler: _Optional[str] = ..., reproducible: bool = ..., crop: _Optional[_Union[_region_pb2.PixelBox, _Mapping]] = ..., working_width: _Optional[int] = ..., working_height: _Optional[int] = ..., stage_times: _Optional[_Iterable[_Union[StageTime, _Mapping]]] = ..., weights: _Optional[_Mapping[str, str]] = ..., adapters: _Optional[_Mapping[str, float]] = ..., notes: _Optional[_Iterable[str]] = ..., path: _Optional[str] = ..., licences: _Optional[_Mapping[str, str]] = ..., model: _Optional[str] = ...) -> None: ...

class StageTime(_message.Message):
    __slots__ = ("stage", "duration")
    STAGE_FIELD_NUMBER: _ClassVar[int]
    DURATION_FIELD_NUMBER: _ClassVar[int]
    stage: str
    duration: _duration_pb2.Duration
    def __init__(self, stage: _Optional[str] = ..., duration: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ...) -> None: ...

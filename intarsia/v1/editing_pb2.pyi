import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from intarsia.v1 import jobs_pb2 as _jobs_pb2
from intarsia.v1 import region_pb2 as _region_pb2
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Scheduler(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    SCHEDULER_UNSPECIFIED: _ClassVar[Scheduler]
    SCHEDULER_DDIM: _ClassVar[Scheduler]
    SCHEDULER_EULER: _ClassVar[Scheduler]
    SCHEDULER_EULER_ANCESTRAL: _ClassVar[Scheduler]
    SCHEDULER_DPM_SOLVER: _ClassVar[Scheduler]
    SCHEDULER_UNIPC: _ClassVar[Scheduler]
    SCHEDULER_DDPM: _ClassVar[Scheduler]

class Format(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    FORMAT_UNSPECIFIED: _ClassVar[Format]
    FORMAT_PNG: _ClassVar[Format]
    FORMAT_TIFF: _ClassVar[Format]
    FORMAT_WEBP: _ClassVar[Format]
    FORMAT_JPEG: _ClassVar[Format]
SCHEDULER_UNSPECIFIED: Scheduler
SCHEDULER_DDIM: Scheduler
SCHEDULER_EULER: Scheduler
SCHEDULER_EULER_ANCESTRAL: Scheduler
SCHEDULER_DPM_SOLVER: Scheduler
SCHEDULER_UNIPC: Scheduler
SCHEDULER_DDPM: Scheduler
FORMAT_UNSPECIFIED: Format
FORMAT_PNG: Format
FORMAT_TIFF: Format
FORMAT_WEBP: Format
FORMAT_JPEG: Format

class EditRegionRequest(_message.Message):
    __slots__ = ("picture", "region", "instruction", "negative_instruction", "sampling", "cut", "output", "preview_every", "time_limit", "request_id")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_EVERY_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    picture: str
    region: _region_pb2.Region
    instruction: str
    negative_instruction: str
    sampling: Sampling
    cut: Cut
    output: Output
    preview_every: int
    time_limit: _duration_pb2.Duration
    request_id: str
    def __init__(self, picture: _Optional[str] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ..., instruction: _Optional[str] = ..., negative_instruction: _Optional[str] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., preview_every: _Optional[int] = ..., time_limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("seed", "steps", "guidance", "picture_guidance", "scheduler", "reproducible")
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    PICTURE_GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    REPRODUCIBLE_FIELD_NUMBER: _ClassVar[int]
    seed: int
    steps: int
    guidance: float
    picture_guidance: float
    scheduler: Scheduler
    reproducible: bool
    def __init__(self, seed: _Optional[int] = ..., steps: _Optional[int] = ..., guidance: _Optional[float] = ..., picture_guidance: _Optional[float] = ..., scheduler: _Optional[_Union[Scheduler, str]] = ..., reproducible: bool = ...) -> None: ...

class Cut(_message.Message):
    __slots__ = ("context", "working_size")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WORKING_SIZE_FIELD_NUMBER: _ClassVar[int]
    context: float
    working_size: int
    def __init__(self, context: _Optional[float] = ..., working_size: _Optional[int] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("format", "quality")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    format: Format
    quality: int
    def __init__(self, format: _Optional[_Union[Format, str]] = ..., quality: _Optional[int] = ...) -> None: ...

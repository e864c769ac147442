import datetime

from google.protobuf import duration_pb2 as _duration_pb2
from intarsia.v1 import jobs_pb2 as _jobs_pb2
from intarsia.v1 import region_pb2 as _region_pb2
from intarsia.v1 import results_pb2 as _results_pb2
from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
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
    SCHEDULER_PNDM: _ClassVar[Scheduler]

class Layout(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    LAYOUT_UNSPECIFIED: _ClassVar[Layout]
    LAYOUT_FIT: _ClassVar[Layout]
    LAYOUT_KEEP: _ClassVar[Layout]
    LAYOUT_TILES: _ClassVar[Layout]
    LAYOUT_WHOLE: _ClassVar[Layout]

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
SCHEDULER_PNDM: Scheduler
LAYOUT_UNSPECIFIED: Layout
LAYOUT_FIT: Layout
LAYOUT_KEEP: Layout
LAYOUT_TILES: Layout
LAYOUT_WHOLE: Layout
FORMAT_UNSPECIFIED: Format
FORMAT_PNG: Format
FORMAT_TIFF: Format
FORMAT_WEBP: Format
FORMAT_JPEG: Format

class EditRegionRequest(_message.Message):
    __slots__ = ("job", "region", "instruction", "negative_instruction", "further_edits")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    FURTHER_EDITS_FIELD_NUMBER: _ClassVar[int]
    job: PictureJob
    region: _region_pb2.Region
    instruction: str
    negative_instruction: str
    further_edits: _containers.RepeatedCompositeFieldContainer[FurtherEdit]
    def __init__(self, job: _Optional[_Union[PictureJob, _Mapping]] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ..., instruction: _Optional[str] = ..., negative_instruction: _Optional[str] = ..., further_edits: _Optional[_Iterable[_Union[FurtherEdit, _Mapping]]] = ...) -> None: ...

class FurtherEdit(_message.Message):
    __slots__ = ("region", "instruction", "negative_instruction")
    REGION_FIELD_NUMBER: _ClassVar[int]
    INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_INSTRUCTION_FIELD_NUMBER: _ClassVar[int]
    region: _region_pb2.Region
    instruction: str
    negative_instruction: str
    def __init__(self, region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ..., instruction: _Optional[str] = ..., negative_instruction: _Optional[str] = ...) -> None: ...

class FillRegionRequest(_message.Message):
    __slots__ = ("job", "region", "prompt", "negative_prompt", "margin")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    PROMPT_FIELD_NUMBER: _ClassVar[int]
    NEGATIVE_PROMPT_FIELD_NUMBER: _ClassVar[int]
    MARGIN_FIELD_NUMBER: _ClassVar[int]
    job: PictureJob
    region: _region_pb2.Region
    prompt: str
    negative_prompt: str
    margin: int
    def __init__(self, job: _Optional[_Union[PictureJob, _Mapping]] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ..., prompt: _Optional[str] = ..., negative_prompt: _Optional[str] = ..., margin: _Optional[int] = ...) -> None: ...

class RemoveRegionRequest(_message.Message):
    __slots__ = ("job", "region")
    JOB_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    job: PictureJob
    region: _region_pb2.Region
    def __init__(self, job: _Optional[_Union[PictureJob, _Mapping]] = ..., region: _Optional[_Union[_region_pb2.Region, _Mapping]] = ...) -> None: ...

class PictureJob(_message.Message):
    __slots__ = ("picture", "sampling", "cut", "output", "candidates", "adapters", "match_colours", "preview_every", "time_limit", "request_id", "priority", "labels", "kind", "watched_within", "strict")
    PICTURE_FIELD_NUMBER: _ClassVar[int]
    SAMPLING_FIELD_NUMBER: _ClassVar[int]
    CUT_FIELD_NUMBER: _ClassVar[int]
    OUTPUT_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    ADAPTERS_FIELD_NUMBER: _ClassVar[int]
    MATCH_COLOURS_FIELD_NUMBER: _ClassVar[int]
    PREVIEW_EVERY_FIELD_NUMBER: _ClassVar[int]
    TIME_LIMIT_FIELD_NUMBER: _ClassVar[int]
    REQUEST_ID_FIELD_NUMBER: _ClassVar[int]
    PRIORITY_FIELD_NUMBER: _ClassVar[int]
    LABELS_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    WATCHED_WITHIN_FIELD_NUMBER: _ClassVar[int]
    STRICT_FIELD_NUMBER: _ClassVar[int]
    picture: str
    sampling: Sampling
    cut: Cut
    output: Output
    candidates: int
    adapters: _containers.RepeatedCompositeFieldContainer[AdapterUse]
    match_colours: bool
    preview_every: int
    time_limit: _duration_pb2.Duration
    request_id: str
    priority: int
    labels: _containers.RepeatedScalarFieldContainer[str]
    kind: _jobs_pb2.Job.Kind
    watched_within: _duration_pb2.Duration
    strict: bool
    def __init__(self, picture: _Optional[str] = ..., sampling: _Optional[_Union[Sampling, _Mapping]] = ..., cut: _Optional[_Union[Cut, _Mapping]] = ..., output: _Optional[_Union[Output, _Mapping]] = ..., candidates: _Optional[int] = ..., adapters: _Optional[_Iterable[_Union[AdapterUse, _Mapping]]] = ..., match_colours: bool = ..., preview_every: _Optional[int] = ..., time_limit: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., request_id: _Optional[str] = ..., priority: _Optional[int] = ..., labels: _Optional[_Iterable[str]] = ..., kind: _Optional[_Union[_jobs_pb2.Job.Kind, str]] = ..., watched_within: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., strict: bool = ...) -> None: ...

class AdapterUse(_message.Message):
    __slots__ = ("adapter", "strength")
    ADAPTER_FIELD_NUMBER: _ClassVar[int]
    STRENGTH_FIELD_NUMBER: _ClassVar[int]
    adapter: str
    strength: float
    def __init__(self, adapter: _Optional[str] = ..., strength: _Optional[float] = ...) -> None: ...

class PlanRegionRequest(_message.Message):
    __slots__ = ("edit_region", "fill_region", "remove_region")
    EDIT_REGION_FIELD_NUMBER: _ClassVar[int]
    FILL_REGION_FIELD_NUMBER: _ClassVar[int]
    REMOVE_REGION_FIELD_NUMBER: _ClassVar[int]
    edit_region: EditRegionRequest
    fill_region: FillRegionRequest
    remove_region: RemoveRegionRequest
    def __init__(self, edit_region: _Optional[_Union[EditRegionRequest, _Mapping]] = ..., fill_region: _Optional[_Union[FillRegionRequest, _Mapping]] = ..., remove_region: _Optional[_Union[RemoveRegionRequest, _Mapping]] = ...) -> None: ...

class PlanRegionResponse(_message.Message):
    __slots__ = ("parts", "steps", "evaluations", "candidates", "denoising", "notes")
    PARTS_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    EVALUATIONS_FIELD_NUMBER: _ClassVar[int]
    CANDIDATES_FIELD_NUMBER: _ClassVar[int]
    DENOISING_FIELD_NUMBER: _ClassVar[int]
    NOTES_FIELD_NUMBER: _ClassVar[int]
    parts: _containers.RepeatedCompositeFieldContainer[_results_pb2.Part]
    steps: int
    evaluations: int
    candidates: int
    denoising: _duration_pb2.Duration
    notes: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, parts: _Optional[_Iterable[_Union[_results_pb2.Part, _Mapping]]] = ..., steps: _Optional[int] = ..., evaluations: _Optional[int] = ..., candidates: _Optional[int] = ..., denoising: _Optional[_Union[datetime.timedelta, _duration_pb2.Duration, _Mapping]] = ..., notes: _Optional[_Iterable[str]] = ...) -> None: ...

class Sampling(_message.Message):
    __slots__ = ("seed", "steps", "guidance", "scheduler", "reproducible")
    class GuidanceEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: float
        def __init__(self, key: _Optional[str] = ..., value: _Optional[float] = ...) -> None: ...
    SEED_FIELD_NUMBER: _ClassVar[int]
    STEPS_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    SCHEDULER_FIELD_NUMBER: _ClassVar[int]
    REPRODUCIBLE_FIELD_NUMBER: _ClassVar[int]
    seed: int
    steps: int
    guidance: _containers.ScalarMap[str, float]
    scheduler: Scheduler
    reproducible: bool
    def __init__(self, seed: _Optional[int] = ..., steps: _Optional[int] = ..., guidance: _Optional[_Mapping[str, float]] = ..., scheduler: _Optional[_Union[Scheduler, str]] = ..., reproducible: bool = ...) -> None: ...

class Cut(_message.Message):
    __slots__ = ("context", "working_size", "layout", "overlap")
    CONTEXT_FIELD_NUMBER: _ClassVar[int]
    WORKING_SIZE_FIELD_NUMBER: _ClassVar[int]
    LAYOUT_FIELD_NUMBER: _ClassVar[int]
    OVERLAP_FIELD_NUMBER: _ClassVar[int]
    context: float
    working_size: int
    layout: Layout
    overlap: int
    def __init__(self, context: _Optional[float] = ..., working_size: _Optional[int] = ..., layout: _Optional[_Union[Layout, str]] = ..., overlap: _Optional[int] = ...) -> None: ...

class Output(_message.Message):
    __slots__ = ("format", "quality", "views", "collage", "strip_location")
    FORMAT_FIELD_NUMBER: _ClassVar[int]
    QUALITY_FIELD_NUMBER: _ClassVar[int]
    VIEWS_FIELD_NUMBER: _ClassVar[int]
    COLLAGE_FIELD_NUMBER: _ClassVar[int]
    STRIP_LOCATION_FIELD_NUMBER: _ClassVar[int]
    format: Format
    quality: int
    views: _containers.RepeatedScalarFieldContainer[_results_pb2.View.Kind]
    collage: Collage
    strip_location: bool
    def __init__(self, format: _Optional[_Union[Format, str]] = ..., quality: _Optional[int] = ..., views: _Optional[_Iterable[_Union[_results_pb2.View.Kind, str]]] = ..., collage: _Optional[_Union[Collage, _Mapping]] = ..., strip_location: bool = ...) -> None: ...

class Collage(_message.Message):
    __slots__ = ("spacing_horizontal", "spacing_vertical", "captions")
    SPACING_HORIZONTAL_FIELD_NUMBER: _ClassVar[int]
    SPACING_VERTICAL_FIELD_NUMBER: _ClassVar[int]
    CAPTIONS_FIELD_NUMBER: _ClassVar[int]
    spacing_horizontal: int
    spacing_vertical: int
    captions: _containers.RepeatedScalarFieldContainer[str]
    def __init__(self, spacing_horizontal: _Optional[int] = ..., spacing_vertical: _Optional[int] = ..., captions: _Optional[_Iterable[str]] = ...) -> None: ...

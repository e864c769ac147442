from google.protobuf.internal import containers as _containers
from google.protobuf.internal import enum_type_wrapper as _enum_type_wrapper
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Units(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    UNITS_UNSPECIFIED: _ClassVar[Units]
    UNITS_PIXELS: _ClassVar[Units]
    UNITS_RELATIVE: _ClassVar[Units]

class Polarity(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
    __slots__ = ()
    POLARITY_UNSPECIFIED: _ClassVar[Polarity]
    POLARITY_WHITE_INSIDE: _ClassVar[Polarity]
    POLARITY_BLACK_INSIDE: _ClassVar[Polarity]
    POLARITY_OPAQUE_INSIDE: _ClassVar[Polarity]
    POLARITY_TRANSPARENT_INSIDE: _ClassVar[Polarity]
UNITS_UNSPECIFIED: Units
UNITS_PIXELS: Units
UNITS_RELATIVE: Units
POLARITY_UNSPECIFIED: Polarity
POLARITY_WHITE_INSIDE: Polarity
POLARITY_BLACK_INSIDE: Polarity
POLARITY_OPAQUE_INSIDE: Polarity
POLARITY_TRANSPARENT_INSIDE: Polarity

class Region(_message.Message):
    __slots__ = ("clicks", "box", "polygon", "mask", "words", "combination", "choice", "shaping", "units", "corrections")
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    POLYGON_FIELD_NUMBER: _ClassVar[int]
    MASK_FIELD_NUMBER: _ClassVar[int]
    WORDS_FIELD_NUMBER: _ClassVar[int]
    COMBINATION_FIELD_NUMBER: _ClassVar[int]
    CHOICE_FIELD_NUMBER: _ClassVar[int]
    SHAPING_FIELD_NUMBER: _ClassVar[int]
    UNITS_FIELD_NUMBER: _ClassVar[int]
    CORRECTIONS_FIELD_NUMBER: _ClassVar[int]
    clicks: Clicks
    box: Box
    polygon: Polygon
    mask: Mask
    words: Words
    combination: Combination
    choice: Choice
    shaping: Shaping
    units: Units
    corrections: _containers.RepeatedCompositeFieldContainer[Click]
    def __init__(self, clicks: _Optional[_Union[Clicks, _Mapping]] = ..., box: _Optional[_Union[Box, _Mapping]] = ..., polygon: _Optional[_Union[Polygon, _Mapping]] = ..., mask: _Optional[_Union[Mask, _Mapping]] = ..., words: _Optional[_Union[Words, _Mapping]] = ..., combination: _Optional[_Union[Combination, _Mapping]] = ..., choice: _Optional[_Union[Choice, _Mapping]] = ..., shaping: _Optional[_Union[Shaping, _Mapping]] = ..., units: _Optional[_Union[Units, str]] = ..., corrections: _Optional[_Iterable[_Union[Click, _Mapping]]] = ...) -> None: ...

class Clicks(_message.Message):
    __slots__ = ("clicks",)
    CLICKS_FIELD_NUMBER: _ClassVar[int]
    clicks: _containers.RepeatedCompositeFieldContainer[Click]
    def __init__(self, clicks: _Optional[_Iterable[_Union[Click, _Mapping]]] = ...) -> None: ...

class Click(_message.Message):
    __slots__ = ("x", "y", "outside")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    OUTSIDE_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    outside: bool
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ..., outside: bool = ...) -> None: ...

class Box(_message.Message):
    __slots__ = ("left", "top", "right", "bottom", "exact")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    EXACT_FIELD_NUMBER: _ClassVar[int]
    left: float
    top: float
    right: float
    bottom: float
    exact: bool
    def __init__(self, left: _Optional[float] = ..., top: _Optional[float] = ..., right: _Optional[float] = ..., bottom: _Optional[float] = ..., exact: bool = ...) -> None: ...

class Polygon(_message.Message):
    __slots__ = ("corners",)
    CORNERS_FIELD_NUMBER: _ClassVar[int]
    corners: _containers.RepeatedCompositeFieldContainer[Corner]
    def __init__(self, corners: _Optional[_Iterable[_Union[Corner, _Mapping]]] = ...) -> None: ...

class Corner(_message.Message):
    __slots__ = ("x", "y")
    X_FIELD_NUMBER: _ClassVar[int]
    Y_FIELD_NUMBER: _ClassVar[int]
    x: float
    y: float
    def __init__(self, x: _Optional[float] = ..., y: _Optional[float] = ...) -> None: ...

class Combination(_message.Message):
    __slots__ = ("terms",)
    TERMS_FIELD_NUMBER: _ClassVar[int]
    terms: _containers.RepeatedCompositeFieldContainer[Term]
    def __init__(self, terms: _Optional[_Iterable[_Union[Term, _Mapping]]] = ...) -> None: ...

class Term(_message.Message):
    __slots__ = ("operation", "region")
    class Operation(int, metaclass=_enum_type_wrapper.EnumTypeWrapper):
        __slots__ = ()
        OPERATION_UNSPECIFIED: _ClassVar[Term.Operation]
        OPERATION_PLUS: _ClassVar[Term.Operation]
        OPERATION_MINUS: _ClassVar[Term.Operation]
        OPERATION_WITHIN: _ClassVar[Term.Operation]
    OPERATION_UNSPECIFIED: Term.Operation
    OPERATION_PLUS: Term.Operation
    OPERATION_MINUS: Term.Operation
    OPERATION_WITHIN: Term.Operation
    OPERATION_FIELD_NUMBER: _ClassVar[int]
    REGION_FIELD_NUMBER: _ClassVar[int]
    operation: Term.Operation
    region: Region
    def __init__(self, operation: _Optional[_Union[Term.Operation, str]] = ..., region: _Optional[_Union[Region, _Mapping]] = ...) -> None: ...

class Mask(_message.Message):
    __slots__ = ("artifact", "polarity", "threshold", "fit")
    ARTIFACT_FIELD_NUMBER: _ClassVar[int]
    POLARITY_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    FIT_FIELD_NUMBER: _ClassVar[int]
    artifact: str
    polarity: Polarity
    threshold: float
    fit: bool
    def __init__(self, artifact: _Optional[str] = ..., polarity: _Optional[_Union[Polarity, str]] = ..., threshold: _Optional[float] = ..., fit: bool = ...) -> None: ...

class Words(_message.Message):
    __slots__ = ("phrase", "threshold", "not_phrases", "not_at")
    PHRASE_FIELD_NUMBER: _ClassVar[int]
    THRESHOLD_FIELD_NUMBER: _ClassVar[int]
    NOT_PHRASES_FIELD_NUMBER: _ClassVar[int]
    NOT_AT_FIELD_NUMBER: _ClassVar[int]
    phrase: str
    threshold: float
    not_phrases: _containers.RepeatedScalarFieldContainer[str]
    not_at: _containers.RepeatedCompositeFieldContainer[Corner]
    def __init__(self, phrase: _Optional[str] = ..., threshold: _Optional[float] = ..., not_phrases: _Optional[_Iterable[str]] = ..., not_at: _Optional[_Iterable[_Union[Corner, _Mapping]]] = ...) -> None: ...

class Choice(_message.Message):
    __slots__ = ("best", "all", "index", "nearest")
    class Best(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    class All(_message.Message):
        __slots__ = ()
        def __init__(self) -> None: ...
    BEST_FIELD_NUMBER: _ClassVar[int]
    ALL_FIELD_NUMBER: _ClassVar[int]
    INDEX_FIELD_NUMBER: _ClassVar[int]
    NEAREST_FIELD_NUMBER: _ClassVar[int]
    best: Choice.Best
    all: Choice.All
    index: int
    nearest: Corner
    def __init__(self, best: _Optional[_Union[Choice.Best, _Mapping]] = ..., all: _Optional[_Union[Choice.All, _Mapping]] = ..., index: _Optional[int] = ..., nearest: _Optional[_Union[Corner, _Mapping]] = ...) -> None: ...

class Shaping(_message.Message):
    __slots__ = ("fill_holes", "grow", "shrink", "invert", "feather", "keep_outline")
    FILL_HOLES_FIELD_NUMBER: _ClassVar[int]
    GROW_FIELD_NUMBER: _ClassVar[int]
    SHRINK_FIELD_NUMBER: _ClassVar[int]
    INVERT_FIELD_NUMBER: _ClassVar[int]
    FEATHER_FIELD_NUMBER: _ClassVar[int]
    KEEP_OUTLINE_FIELD_NUMBER: _ClassVar[int]
    fill_holes: int
    grow: float
    shrink: float
    invert: bool
    feather: float
    keep_outline: bool
    def __init__(self, fill_holes: _Optional[int] = ..., grow: _Optional[float] = ..., shrink: _Optional[float] = ..., invert: bool = ..., feather: _Optional[float] = ..., keep_outline: bool = ...) -> None: ...

class Instance(_message.Message):
    __slots__ = ("mask", "score", "box", "area", "stability")
    MASK_FIELD_NUMBER: _ClassVar[int]
    SCORE_FIELD_NUMBER: _ClassVar[int]
    BOX_FIELD_NUMBER: _ClassVar[int]
    AREA_FIELD_NUMBER: _ClassVar[int]
    STABILITY_FIELD_NUMBER: _ClassVar[int]
    mask: str
    score: float
    box: PixelBox
    area: int
    stability: float
    def __init__(self, mask: _Optional[str] = ..., score: _Optional[float] = ..., box: _Optional[_Union[PixelBox, _Mapping]] = ..., area: _Optional[int] = ..., stability: _Optional[float] = ...) -> None: ...

class PixelBox(_message.Message):
    __slots__ = ("left", "top", "right", "bottom")
    LEFT_FIELD_NUMBER: _ClassVar[int]
    TOP_FIELD_NUMBER: _ClassVar[int]
    RIGHT_FIELD_NUMBER: _ClassVar[int]
    BOTTOM_FIELD_NUMBER: _ClassVar[int]
    left: int
    top: int
    right: int
    bottom: int
    def __init__(self, left: _Optional[int] = ..., top: _Optional[int] = ..., right: _Optional[int] = ..., bottom: _Optional[int] = ...) -> None: ...

"""Requests and results as JSON: dataclasses to plain values, and back by the types of their fields.

A dataclass becomes an object with its fields; where a field may hold one of several dataclasses, the object
says which in `type`. Tuples become arrays, enums their values. Fields that are missing take their defaults,
so that older objects can still be read after a field was added.
"""

from __future__ import annotations

import types
from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from enum import Enum
from functools import cache
from typing import Any, TypeVar, Union, cast, get_args, get_origin, get_type_hints

T = TypeVar("T")

_TYPE = "type"


def to_plain(value: Any) -> Any:
    """A value made of what JSON has: objects, arrays, text, numbers, true, false and null."""
    return _plain(value, type(value))


def from_plain(kind: type[T], plain: Any) -> T:
    """The value of this type. Raises ValueError for what is no such value."""
    try:
        return cast(T, _value(plain, kind))
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"not a {kind.__name__}: {error!r}") from error


def _plain(value: Any, kind: Any) -> Any:
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Enum):
        return value.value
    if is_dataclass(value):
        hints = _hints(cast(Any, type(value)))
        plain = {name: _plain(getattr(value, name), hint) for name, hint in hints.items()}
        return {_TYPE: type(value).__name__, **plain} if _is_union(kind) else plain
    if isinstance(value, tuple):
        kinds = _kinds(kind, len(value))
        return [_plain(item, item_kind) for item, item_kind in zip(value, kinds, strict=True)]
    if isinstance(value, Mapping):
        return {key: _plain(item, get_args(kind)[1]) for key, item in value.items()}
    raise TypeError(f"{type(value).__name__} cannot be written as JSON")


def _value(plain: Any, kind: Any) -> Any:
    if get_origin(kind) in (Union, types.UnionType):
        if plain is None:
            return None
        members = [member for member in get_args(kind) if member is not types.NoneType]
        if _is_union(kind):
            kind = {member.__name__: member for member in members}[plain[_TYPE]]
        else:
            (kind,) = members
    if is_dataclass(kind):
        hints, known = _hints(cast(Any, kind)), fields(kind)
        missing = {field.name for field in known if field.name not in plain}
        required = {f.name for f in known if f.default is MISSING and f.default_factory is MISSING}
        if absent := missing & required:
            raise KeyError(*sorted(absent))
        return cast(Any, kind)(
            **{name: _value(plain[name], hint) for name, hint in hints.items() if name not in missing}
        )
    if get_origin(kind) is tuple:
        kinds = _kinds(kind, len(plain))
        return tuple(_value(item, item_kind) for item, item_kind in zip(plain, kinds, strict=True))
    if get_origin(kind) in (Mapping, dict):
        return {key: _value(item, get_args(kind)[1]) for key, item in plain.items()}
    if issubclass(kind, Enum):
        return kind(plain)
    if kind is float and type(plain) is int:
        return plain
    if type(plain) is not kind:
        raise TypeError(f"{plain!r} is no {kind.__name__}")
    return plain


def _is_union(kind: Any) -> bool:
    """True if a field of this type may hold one of several dataclasses."""
    if get_origin(kind) not in (Union, types.UnionType):
        return False
    return sum(is_dataclass(member) for member in get_args(kind)) > 1


def _kinds(kind: Any, count: int) -> tuple[Any, ...]:
    """The types of the items of a tuple: `tuple[int, ...]` or `tuple[float, float]`."""
    if is_optional := get_origin(kind) in (Union, types.UnionType):
        (kind,) = (member for member in get_args(kind) if member is not types.NoneType)
    assert not is_optional or get_origin(kind) is tuple
    items = get_args(kind)
    return (items[0],) * count if items[-1] is Ellipsis else items


@cache
def _hints(kind: type) -> dict[str, Any]:
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}

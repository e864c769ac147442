"""Makes `docs/sdk.md`, the reference of the Python client, from its docstrings and signatures.

python docs/make_sdk.py             writes docs/sdk.md
python docs/make_sdk.py --check     fails if docs/sdk.md is stale
"""

from __future__ import annotations

import argparse
import dataclasses
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from enum import Enum
from pathlib import Path
from typing import Any

import intarsia
from intarsia import artifacts, editing, errors, jobs, region, requests, results, settings

PAGE = Path(__file__).with_name("sdk.md")
WIDTH = 100  # longer signatures have a line per parameter

HEAD = """# Python reference

*Made from the docstrings by `make docs`; [the README](../README.md#from-python) has examples.*

`AsyncClient`, `AsyncJob` and `AsyncResultFile` have the same methods as `Client`, `Job` and `ResultFile`, for
asyncio: what returns a value is awaited, what returns an iterator is read with `async for`.
"""

# Short names of types in signatures, by the module that defines them.
ALIASES = (
    (requests, ("Picture", "Stored")),
    (editing, ("PictureRequest",)),
    (requests, ("Request", "Further")),
    (region, ("Where", "Point")),
    (artifacts, ("Source", "Progress")),
    (jobs, ("ProgressCallback",)),
)


def page() -> str:
    """The whole page."""
    return "\n".join([HEAD, *_lines()]).rstrip() + "\n"


def _lines() -> Iterator[str]:
    yield from _class(intarsia.Client, intarsia.AsyncClient)
    yield from _title("Regions", _doc(region))
    for each in _public(region, inspect.isfunction):
        if each.__name__ in intarsia.__all__:
            yield from _function(each, each.__name__)
    yield from _class(intarsia.Region)
    yield from _title("Settings", _doc(settings))
    yield from _settings()
    yield from _class(intarsia.Job, intarsia.AsyncJob)
    yield from _class(intarsia.ResultFile, intarsia.AsyncResultFile)
    yield from _title("Results", _doc(results))
    for each in _public(results, inspect.isclass):
        yield from _values(each) if issubclass(each, Enum) else _fields(each)
    yield from _class(intarsia.RetryPolicy)
    yield from _title("Errors", _doc(errors))
    yield from _title("Names of types", "Signatures above use short names:")
    yield from (f"- `{name}`: `{_alias(module, name)}`" for module, names in ALIASES for name in names)


def _title(name: str, doc: str) -> Iterator[str]:
    yield from (f"## {name}", "", doc, "")


def _class(kind: type, twin: type | None = None) -> Iterator[str]:
    """A class and its methods; a blocking class has a twin for asyncio, which says more."""
    if twin is None:
        yield from _title(kind.__name__, _doc(kind))
    else:
        both = f"**`{kind.__name__}`**: {_doc(kind)}\n\n**`{twin.__name__}`**: {_doc(twin)}"
        yield from _title(kind.__name__, both)
    # Regions and handles are not made by their classes, but by functions and results.
    if kind in (intarsia.Client, intarsia.RetryPolicy):
        yield from _fence(_signature(kind.__init__, kind.__name__))
    for name, method in _methods(kind):
        yield from _function(method, f"{kind.__name__}.{name}")


def _function(function: Callable[..., Any], name: str) -> Iterator[str]:
    yield from (f"### {name}", "")
    yield from _fence(_signature(function, function.__name__))
    yield from (_doc(function), "")


def _fields(kind: type) -> Iterator[str]:
    """A result: its fields with their types, its methods."""
    yield from (f"### {kind.__name__}", "", _doc(kind), "")
    yield from (f"- `{each.name}`: `{each.type}`" for each in dataclasses.fields(kind))
    yield ""
    for name, method in _methods(kind):
        yield from (f"`{_signature(method, name)}`", "", _doc(method), "")


def _values(kind: type[Enum]) -> Iterator[str]:
    yield from (f"### {kind.__name__}", "", _doc(kind), "")
    yield from (", ".join(f"`{each.value}`" for each in kind), "")
    for name, member in vars(kind).items():
        if isinstance(member, property) and not name.startswith("_"):
            yield from (f"`{name}`: {_doc(member)}", "")


def _settings() -> Iterator[str]:
    """The table of keywords, with the options of the command line."""
    yield from ("| Keyword | Option | |", "| --- | --- | --- |")
    for each in settings.SETTINGS:
        only = f" (only `{each.method}`)" if each.method else ""
        yield f"| `{each.name}` | `{each.option}` | {each.help}{only} |"
    yield ""


def _fence(text: str) -> Iterator[str]:
    yield from ("```", text, "```", "")


def _signature(function: Callable[..., Any], name: str) -> str:
    """The signature as it is written, on one line if it fits."""
    signature = inspect.signature(function)
    parameters: list[str] = []
    before = None
    for each in signature.parameters.values():
        if each.kind is each.KEYWORD_ONLY and before not in (each.KEYWORD_ONLY, each.VAR_POSITIONAL):
            parameters.append("*")
        before = each.kind
        if each.name != "self":
            parameters.append(_parameter(each))
    returned = signature.return_annotation
    end = "" if returned in (None, "None") else f" -> {_type(returned)}"
    line = f"{name}({', '.join(parameters)}){end}"
    if len(line) <= WIDTH:
        return line
    return "\n".join([f"{name}(", *(f"    {each}," for each in parameters), f"){end}"])


def _parameter(one: inspect.Parameter) -> str:
    stars = "*" * (one.kind is one.VAR_POSITIONAL) + "**" * (one.kind is one.VAR_KEYWORD)
    text = f"{stars}{one.name}: {_type(one.annotation)}"
    if one.default is inspect.Parameter.empty:
        return text
    default = (
        f"{type(one.default).__name__}()" if dataclasses.is_dataclass(one.default) else repr(one.default)
    )
    return f"{text} = {default}"


def _type(annotation: str) -> str:
    """An annotation without the names of modules that only the code needs."""
    return re.sub(r"\b(builtins|requests)\.", "", annotation)


def _alias(module: Any, name: str) -> str:
    """What a short name of a type stands for, as the module writes it."""
    found = re.search(rf"^{name}(?:: TypeAlias)? = (.+?)(?: +#.*)?$", inspect.getsource(module), re.MULTILINE)
    if found is None:
        raise SystemExit(f"{module.__name__} has no {name}")
    return found[1].strip('"')


def _public(module: Any, kind: Callable[[Any], bool]) -> list[Any]:
    """What a module defines itself, in its order."""
    return [
        each
        for name, each in vars(module).items()
        if kind(each) and each.__module__ == module.__name__ and not name.startswith("_")
    ]


def _methods(kind: type) -> list[tuple[str, Callable[..., Any]]]:
    """What a class defines itself, without special and private methods."""
    members = vars(kind).items()
    return [(name, one) for name, one in members if inspect.isfunction(one) and not name.startswith("_")]


def _doc(thing: Any) -> str:
    """A docstring; raises for a thing without one, which a reader of the page could not use."""
    text = inspect.getdoc(thing)
    if not text:
        raise SystemExit(f"{thing!r} has no docstring")
    return text


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="only compare")
    if not parser.parse_args().check:
        PAGE.write_text(page(), encoding="utf-8")
    elif PAGE.read_text(encoding="utf-8") != page():
        sys.exit("docs/sdk.md is stale: run `make docs`")


if __name__ == "__main__":
    main()

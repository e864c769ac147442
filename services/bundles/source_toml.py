"""The descriptions of sources: TOML files in `published/`, and what a fetch has learnt, beside its bundle.

A value that no one could tell is "unknown" in a file.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import tomllib

from services.bundles.errors import BundleError
from services.bundles.source import COMMIT, REPOSITORY, Citation, Licence, SourceFile, WeightSource

PUBLISHED = Path(__file__).parent / "published"
LICENCES = PUBLISHED / "licences"
LAYOUTS = ("diffusers", "sam2", "sam3")
UNKNOWN = "unknown"
_SHA256 = re.compile(r"[0-9a-f]{64}")


def read(file: Path) -> WeightSource:
    """The source that a file describes; raises BundleError, which names the file and the key."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as problem:
        raise BundleError(f"{file} is no description of a source: {problem}") from problem
    return _Description(file).source(content)


def sources(folder: Path = PUBLISHED) -> dict[str, WeightSource]:
    """The sources of a folder of descriptions, by name."""
    if not folder.is_dir():
        raise BundleError(f"there is no folder {folder} with descriptions of sources")
    return {file.stem: read(file) for file in sorted(folder.glob("*.toml"))}


def to_toml(source: WeightSource) -> str:
    """The description of a source, as a file that `read` understands."""
    lines = [
        f"title = {_quoted(source.title)}",
        f"repository = {_quoted(source.repository)}",
        f"commit = {_quoted(source.commit or UNKNOWN)}",
        *([f"unaffiliated = {_quoted(source.unaffiliated)}"] if source.unaffiliated else []),
        f"gated = {_quoted(source.gated)}",
        f"becomes = {_quoted(source.becomes)}",
        f"layout = {_quoted(source.layout)}",
        "",
        "[licence]",
        f"name = {_quoted(source.licence.name)}",
        f"url = {_quoted(source.licence.url)}",
        f"academic_only = {_quoted(source.licence.academic_only)}",
        f"texts = {_quoted(list(source.licence.texts))}",
    ]
    for file in source.files:
        lines += ["", "[[files]]", f"path = {_quoted(file.path)}"]
        if file.repository != source.repository:
            lines.append(f"repository = {_quoted(file.repository)}")
            lines.append(f"commit = {_quoted(file.commit or UNKNOWN)}")
        if file.name != file.path:
            lines.append(f"name = {_quoted(file.name)}")
        lines.append(f"size = {_quoted(UNKNOWN if file.size is None else file.size)}")
        lines.append(f"sha256 = {_quoted(file.sha256 or UNKNOWN)}")
    for work in source.citations:
        lines += ["", "[[citations]]"]
        lines += [
            f"{key} = {_quoted(value)}"
            for key, value in (("work", work.work), ("text", work.text), ("url", work.url))
        ]
    return "\n".join(lines) + "\n"


class _Description:
    """Reads the content of one file; every error names the file and the key."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def source(self, content: Mapping[str, Any]) -> WeightSource:
        repository = self._repository(content)
        commit = self._digest(content, "commit", COMMIT)
        layout = self._text(content, "layout")
        if layout not in LAYOUTS:
            raise self._wrong("layout", f"one of {', '.join(LAYOUTS)}")
        files = self._tables(content, "files")
        if not files:
            raise self._wrong("files", "one file or more")
        return WeightSource(
            name=self._file.stem,
            title=self._text(content, "title"),
            repository=repository,
            commit=commit,
            unaffiliated=self._text(content, "unaffiliated", absent=""),
            gated=self._flag(content, "gated"),
            becomes=self._path(content, "becomes"),
            layout=layout,
            licence=self._licence(content.get("licence")),
            files=tuple(self._source_file(file, repository, commit) for file in files),
            citations=tuple(
                Citation(self._text(work, "work"), self._text(work, "text"), self._text(work, "url"))
                for work in self._tables(content, "citations")
            ),
        )

    def _source_file(self, table: Mapping[str, Any], repository: str, commit: str | None) -> SourceFile:
        path = self._path(table, "path")
        own = "repository" in table
        return SourceFile(
            path=path,
            repository=self._repository(table) if own else repository,
            commit=self._digest(table, "commit", COMMIT) if own else commit,
            name=self._path(table, "name") if "name" in table else path,
            size=self._size(table),
            sha256=self._digest(table, "sha256", _SHA256),
        )

    def _licence(self, table: Any) -> Licence:
        if not isinstance(table, Mapping):
            raise self._wrong("licence", "a table")
        texts = table.get("texts", [])
        if not isinstance(texts, list) or not all(
            isinstance(name, str) and (LICENCES / name).is_file() and Path(name).name == name
            for name in texts
        ):
            raise self._wrong("licence.texts", f"a list of files of {LICENCES}")
        return Licence(
            name=self._text(table, "name"),
            url=self._text(table, "url"),
            academic_only=self._flag(table, "academic_only"),
            texts=tuple(texts),
        )

    def _tables(self, content: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
        tables = content.get(key, [])
        if not isinstance(tables, list) or not all(isinstance(table, Mapping) for table in tables):
            raise self._wrong(key, "a list of tables")
        return tables

    def _text(self, table: Mapping[str, Any], key: str, *, absent: str | None = None) -> str:
        value = table.get(key, absent)
        if not isinstance(value, str) or (not value and absent is None):
            raise self._wrong(key, "a text")
        return value

    def _flag(self, table: Mapping[str, Any], key: str) -> bool:
        if not isinstance(table.get(key), bool):
            raise self._wrong(key, "true or false")
        return bool(table[key])

    def _repository(self, table: Mapping[str, Any]) -> str:
        value = self._text(table, "repository")
        if not REPOSITORY.fullmatch(value):
            raise self._wrong("repository", "OWNER/NAME")
        return value

    def _path(self, table: Mapping[str, Any], key: str) -> str:
        """A path that stays below the folder it is in."""
        value = self._text(table, key)
        parts = PurePosixPath(value).parts
        if value.startswith("/") or "\\" in value or "\0" in value or any(part[0] == "." for part in parts):
            raise self._wrong(key, "a path below a folder, with no part that begins with a dot")
        return "/".join(parts)

    def _size(self, table: Mapping[str, Any]) -> int | None:
        value = table.get("size")
        if value == UNKNOWN:
            return None
        if not isinstance(value, int) or isinstance(value, bool) or value < 0:
            raise self._wrong("size", f'bytes, or "{UNKNOWN}"')
        return value

    def _digest(self, table: Mapping[str, Any], key: str, form: re.Pattern[str]) -> str | None:
        value = table.get(key)
        if value == UNKNOWN:
            return None
        if not isinstance(value, str) or not form.fullmatch(value):
            raise self._wrong(key, f'lower-case hexadecimal digits, or "{UNKNOWN}"')
        return value

    def _wrong(self, key: str, wanted: str) -> BundleError:
        return BundleError(f"{self._file} is no description of a source: {key} must be {wanted}")


def _quoted(value: Any) -> str:
    """A value of TOML; a JSON value is one, except for two characters that need an escape there."""
    return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")

"""Where published weights come from: repository, commit, files, licence, and what they become.

The descriptions in `published/*.toml` are read by these classes. What a fetch has learnt is written beside
its bundle in the same form. A value that no one could tell is "unknown" in a file and None here.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from typing import Any

import tomllib

from services.bundles.errors import BundleError

PUBLISHED = Path(__file__).parent / "published"
LICENCES = PUBLISHED / "licences"
LAYOUTS = ("diffusers", "sam2", "sam3")
UNKNOWN = "unknown"
_COMMIT, _SHA256 = re.compile(r"[0-9a-f]{40}"), re.compile(r"[0-9a-f]{64}")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


@dataclass(frozen=True)
class SourceFile:
    """A file that is fetched. `path` is where the converter looks for it, `name` its path in the
    repository."""

    path: str
    repository: str
    commit: str | None
    name: str
    size: int | None
    sha256: str | None


@dataclass(frozen=True)
class Licence:
    """The terms of weights. `texts` are files of `published/licences`."""

    name: str
    url: str
    academic_only: bool
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Citation:
    """A work that weights stand on."""

    work: str
    text: str
    url: str


@dataclass(frozen=True)
class WeightSource:
    """One publication. `becomes` is the folder of the bundle, or of a component, below the folder of bundles.

    `unaffiliated` says who keeps the repository if its authors do not; "" if they do.
    """

    name: str
    title: str
    repository: str
    commit: str | None
    unaffiliated: str
    gated: bool
    becomes: str
    layout: str
    licence: Licence
    files: tuple[SourceFile, ...]
    citations: tuple[Citation, ...]

    @property
    def unknown(self) -> tuple[str, ...]:
        """What would have to be taken on trust: commits and digests that no one could tell."""
        found = [] if self.commit else [f"the commit of {self.repository}"]
        return (*found, *(f"the SHA-256 of {file.path}" for file in self.files if file.sha256 is None))

    def at(self, commit: str) -> WeightSource:
        """The same with this commit of its repository."""
        files = tuple(
            replace(file, commit=commit) if file.repository == self.repository else file
            for file in self.files
        )
        return replace(self, commit=commit, files=files)

    def moved(self, repository: str, commit: str, *, trusted: bool) -> WeightSource:
        """The same files in another repository; with `trusted`, whatever bytes these are there."""
        files = tuple(
            replace(
                file,
                repository=repository,
                commit=commit,
                size=None if trusted else file.size,
                sha256=None if trusted else file.sha256,
            )
            if file.repository == self.repository
            else file
            for file in self.files
        )
        told = "" if repository == self.repository else "named by --repo; who keeps it was not looked into"
        return replace(self, repository=repository, commit=commit, unaffiliated=told, files=files)

    def completed(self, learnt: WeightSource) -> WeightSource:
        """The same with what an earlier fetch from the same place has learnt."""
        if learnt.repository != self.repository or self.commit not in (None, learnt.commit):
            return self
        known = {(file.path, file.repository, file.commit): file for file in learnt.files}
        source = self.at(learnt.commit) if learnt.commit else self

        def complete(file: SourceFile) -> SourceFile:
            earlier = known.get((file.path, file.repository, file.commit))
            if earlier is None or file.sha256 is not None:
                return file
            return replace(file, size=earlier.size, sha256=earlier.sha256)

        return replace(source, files=tuple(complete(file) for file in source.files))

    def as_toml(self) -> str:
        """This description as a file that `read` understands."""
        lines = [
            f"title = {_quoted(self.title)}",
            f"repository = {_quoted(self.repository)}",
            f"commit = {_quoted(self.commit or UNKNOWN)}",
            *([f"unaffiliated = {_quoted(self.unaffiliated)}"] if self.unaffiliated else []),
            f"gated = {_quoted(self.gated)}",
            f"becomes = {_quoted(self.becomes)}",
            f"layout = {_quoted(self.layout)}",
            "",
            "[licence]",
            f"name = {_quoted(self.licence.name)}",
            f"url = {_quoted(self.licence.url)}",
            f"academic_only = {_quoted(self.licence.academic_only)}",
            f"texts = {_quoted(list(self.licence.texts))}",
        ]
        for file in self.files:
            lines += ["", "[[files]]", f"path = {_quoted(file.path)}"]
            if file.repository != self.repository:
                lines.append(f"repository = {_quoted(file.repository)}")
                lines.append(f"commit = {_quoted(file.commit or UNKNOWN)}")
            if file.name != file.path:
                lines.append(f"name = {_quoted(file.name)}")
            lines.append(f"size = {_quoted(UNKNOWN if file.size is None else file.size)}")
            lines.append(f"sha256 = {_quoted(file.sha256 or UNKNOWN)}")
        for work in self.citations:
            lines += ["", "[[citations]]"]
            lines += [
                f"{key} = {_quoted(value)}"
                for key, value in (("work", work.work), ("text", work.text), ("url", work.url))
            ]
        return "\n".join(lines) + "\n"


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


def repository_at(text: str) -> tuple[str, str]:
    """Reads OWNER/NAME@COMMIT."""
    repository, _, commit = text.partition("@")
    if not _REPOSITORY.fullmatch(repository) or not _COMMIT.fullmatch(commit):
        raise BundleError(
            f"--repo must be OWNER/NAME@COMMIT with the 40 digits of a commit, not {text!r}; a branch may "
            "move, a commit does not"
        )
    return repository, commit


class _Description:
    """Reads the content of one file; every error names the file and the key."""

    def __init__(self, file: Path) -> None:
        self._file = file

    def source(self, content: Mapping[str, Any]) -> WeightSource:
        repository = self._repository(content)
        commit = self._digest(content, "commit", _COMMIT)
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
            commit=self._digest(table, "commit", _COMMIT) if own else commit,
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
        if not _REPOSITORY.fullmatch(value):
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

"""Where published weights come from: repository, commit, files, licence, and what they become.

A value that no one could tell is None.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace

from services.bundles.errors import BundleError

COMMIT, REPOSITORY = re.compile(r"[0-9a-f]{40}"), re.compile(r"[A-Za-z0-9][\w.-]*/[A-Za-z0-9][\w.-]*")


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


def repository_at(text: str) -> tuple[str, str]:
    """Reads OWNER/NAME@COMMIT."""
    repository, _, commit = text.partition("@")
    if not REPOSITORY.fullmatch(repository) or not COMMIT.fullmatch(commit):
        raise BundleError(
            f"--repo must be OWNER/NAME@COMMIT with the 40 digits of a commit, not {text!r}; a branch may "
            "move, a commit does not"
        )
    return repository, commit

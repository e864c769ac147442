"""What a fetch would do: which bytes, from where, to where, under which terms, and what is not known."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from services.bundles.errors import BundleError, WrongBytes
from services.bundles.fetch.hub import Hub, RemoteFile
from services.bundles.source import SourceFile, WeightSource


@dataclass(frozen=True)
class FileToFetch:
    """A file of a source: where it is on this machine (`here`), or what the hub says of it (`remote`)."""

    file: SourceFile
    size: int
    begun: int = 0
    here: Path | None = None
    remote: RemoteFile | None = None

    @property
    def missing(self) -> int:
        """Bytes that are still to come."""
        return 0 if self.here else self.size - self.begun


@dataclass(frozen=True)
class FetchPlan:
    """The fetch of one source into the folder of bundles `to`. `hub` is None if a folder has the files."""

    source: WeightSource
    to: Path
    hub: Hub | None
    files: tuple[FileToFetch, ...]
    trusted: bool

    @property
    def missing(self) -> int:
        """Bytes to fetch."""
        return sum(file.missing for file in self.files)

    @property
    def size(self) -> int:
        """Bytes of all files, about as many as the bundle will have."""
        return sum(file.size for file in self.files)

    def __str__(self) -> str:
        source = self.source
        place = self.hub.endpoint if self.hub else "a folder"
        lines = [
            f"{source.name}: {source.title}",
            f"  from      {source.repository} at {source.commit or 'an unknown commit'}, {place}",
        ]
        if source.unaffiliated:
            lines.append(f"            unaffiliated: {source.unaffiliated}")
        for file in self.files:
            state = "here already" if file.here else f"{_bytes(file.missing)} to fetch"
            lines.append(f"  file      {file.file.path}, {_bytes(file.size)}, {state}")
        lines.append(f"  licence   {source.licence.name}; {source.licence.url}")
        if source.licence.academic_only:
            lines.append("            only academic use is allowed")
        if source.gated and self.hub:
            lines.append(f"  token     yours is sent to {self.hub.endpoint}")
        lines.append(f"  becomes   {self.to / source.becomes}, {_bytes(self.size)} or less")
        if source.unknown:
            lines.append(f"  unknown   {', '.join(source.unknown)}: what comes is taken, and kept in mind")
        return "\n".join(lines)

    def as_dict(self) -> dict[str, Any]:
        """The plan as JSON values."""
        return {
            "source": self.source.name,
            "repository": self.source.repository,
            "commit": self.source.commit,
            "unaffiliated": self.source.unaffiliated,
            "endpoint": self.hub.endpoint if self.hub else None,
            "files": [
                {
                    "path": file.file.path,
                    "size": file.size,
                    "missing": file.missing,
                    "sha256": file.file.sha256,
                }
                for file in self.files
            ],
            "licence": {
                "name": self.source.licence.name,
                "url": self.source.licence.url,
                "academic_only": self.source.licence.academic_only,
            },
            "becomes": str(self.to / self.source.becomes),
            "unknown": list(self.source.unknown),
        }


def plan_fetch(
    source: WeightSource, to: Path, hub: Hub | None, folder: Path | None, *, trust: bool
) -> FetchPlan:
    """The plan for one source, from `folder` or else from `hub`; raises BundleError where it cannot be
    carried out.

    Without `trust`, nothing is planned of which a commit or a digest is unknown.
    """
    if not trust and (unknown := [word for word in source.unknown if hub or "commit" not in word]):
        raise BundleError(
            f"{source.name}: not known here: {', '.join(unknown)}. With --trust-first-use what comes is "
            "taken, and "
            f"what was learnt of it is written to {record_of(source, to)}, to which later fetches are held"
        )
    if hub is None:
        assert folder is not None
        files = tuple(_of_folder(file, folder) for file in source.files)
        return FetchPlan(source, to, None, files, trust)
    if source.gated and not hub.has_token and any(hub.present(file) is None for file in source.files):
        raise BundleError(
            f"{source.repository} is gated: accept its terms at {hub.endpoint}/{source.repository}, and "
            "set HF_TOKEN "
            "to a token of your account that may read it"
        )
    if source.commit is None:
        source = source.at(hub.newest(source.repository))
    return FetchPlan(source, to, hub, tuple(_of_hub(file, hub) for file in source.files), trust)


def require_room(plans: Sequence[FetchPlan]) -> None:
    """Raises BundleError unless the disks have room for what is missing, and for the bundles."""
    needs: dict[int, tuple[Path, int]] = {}

    def need(folder: Path, size: int) -> None:
        there = _existing(folder)
        disk = there.stat().st_dev
        needs[disk] = (needs[disk][0] if disk in needs else there, needs.get(disk, (there, 0))[1] + size)

    for plan in plans:
        need(plan.to, plan.size)
        if plan.hub:
            need(plan.hub.cache, plan.missing)
    for folder, size in needs.values():
        free = shutil.disk_usage(folder).free
        if size > free:
            raise BundleError(
                f"no room: {_bytes(size)} are needed on the disk of {folder}, and {_bytes(free)} are "
                "free. Free some, "
                "or name folders on another disk by --to and --cache-dir"
            )


def record_of(source: WeightSource, to: Path) -> Path:
    """The file beside a bundle that says what it was fetched from."""
    return to / f"{source.name}.toml"


def _of_folder(file: SourceFile, folder: Path) -> FileToFetch:
    path = folder / file.path
    if not path.is_file():
        raise BundleError(f"{path} is missing: --folder names a folder with all files of the source")
    return FileToFetch(file, path.stat().st_size, here=path)


def _of_hub(file: SourceFile, hub: Hub) -> FileToFetch:
    here = hub.present(file)
    if here is not None:
        return FileToFetch(file, here.stat().st_size, here=here)
    remote = hub.look(file)
    if file.size is not None and remote.size != file.size:
        raise WrongBytes(
            f"{hub.endpoint} has {remote.size:,} bytes of {file.path} where {file.size:,} were expected; "
            "it is not fetched. Try another endpoint"
        )
    return FileToFetch(file, remote.size, min(hub.begun(file, remote), remote.size), remote=remote)


def _existing(folder: Path) -> Path:
    folder = folder.absolute()
    while not folder.exists() and folder != folder.parent:
        folder = folder.parent
    return folder


def _bytes(count: int) -> str:
    for unit, size in (("GB", 10**9), ("MB", 10**6), ("kB", 10**3)):
        if count >= size:
            return f"{count / size:.1f} {unit}"
    return f"{count} bytes"

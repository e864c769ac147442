"""The model hub, or a mirror: what a file is there, and its bytes, in the cache that its library uses too.

huggingface_hub finds files, resolves links and speaks HTTP. Two things are done here, because it does
neither: a download goes on where a killed one was stopped, and bytes are compared with the digest in the
source's description.
"""

from __future__ import annotations

import fcntl
import io
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from httpx2 import HTTPError
from huggingface_hub import HfApi, constants, get_token, hf_hub_download, hf_hub_url
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import get_hf_file_metadata, http_get, repo_folder_name
from huggingface_hub.utils import build_hf_headers, disable_progress_bars, logging

from services.bundles import digest
from services.bundles.errors import BundleError, WrongBytes
from services.bundles.source import SourceFile

_NAME = re.compile(r"[0-9A-Za-z][0-9A-Za-z._-]*")


_ACCESS = "accept its terms there, and set HF_TOKEN to a token of your account that may read it"


@dataclass(frozen=True)
class RemoteFile:
    """A file of a repository: its bytes, where they are, and the name of its blob in the cache."""

    size: int
    url: str
    blob: str


class Hub:
    """A hub, and the cache on this machine. Only with `gated` it gets the user's token."""

    def __init__(
        self, endpoint: str | None = None, cache: Path | None = None, *, gated: bool = False
    ) -> None:
        self.endpoint = (endpoint or constants.ENDPOINT).rstrip("/")
        if urlsplit(self.endpoint).scheme not in ("http", "https"):
            raise BundleError(f"the endpoint must begin with https:// or http://, not {self.endpoint!r}")
        self.cache = cache or Path(constants.HF_HUB_CACHE)
        self._gated = gated

    @property
    def has_token(self) -> bool:
        """Whether the user has a token, in HF_TOKEN or where the hub's own login keeps it."""
        return get_token() is not None

    def newest(self, repository: str) -> str:
        """The commit that the main branch of a repository is at."""
        with self._told(repository):
            commit = HfApi(endpoint=self.endpoint, token=self._token).model_info(repository).sha
        if not commit:
            raise BundleError(f"{self.endpoint} names no commit of {repository}")
        return commit

    def look(self, file: SourceFile) -> RemoteFile:
        """What the hub says of a file at its commit."""
        with self._told(file.repository, file):
            found = get_hf_file_metadata(
                self._url(file),
                token=self._token,
                endpoint=self.endpoint,
                retry_on_errors=True,
            )
        if found.commit_hash != file.commit:
            raise BundleError(
                f"{self.endpoint} answers for {file.repository} with commit {found.commit_hash} where "
                f"{file.commit} "
                "was asked for; it is not used. Try another endpoint"
            )
        if found.size is None or found.etag is None or not _NAME.fullmatch(found.etag):
            raise BundleError(
                f"{self.endpoint} does not tell the size and the tag of {file.name}; is it a hub?"
            )
        return RemoteFile(found.size, found.location, found.etag)

    def present(self, file: SourceFile) -> Path | None:
        """The file in the cache, if it is whole."""
        path = self._folder(file) / "snapshots" / str(file.commit) / file.name
        return path if path.is_file() else None

    def begun(self, file: SourceFile, remote: RemoteFile) -> int:
        """How many bytes of a file are here from a download that was stopped."""
        with suppress(FileNotFoundError):
            return self._part(file, remote).stat().st_size
        return 0

    def download(self, file: SourceFile, remote: RemoteFile) -> tuple[Path, str]:
        """The file in the cache, and its SHA-256: what is missing of it is fetched, and all of it checked."""
        blob, found = self._folder(file) / "blobs" / remote.blob, None
        with self._told(file.repository, file):
            blob.parent.mkdir(parents=True, exist_ok=True)
            if not blob.exists():
                part = self._part(file, remote)
                with _alone(part, remote.size) as stream:
                    self._complete(stream, file, remote)
                    found = check(part, file, self.endpoint)
                    os.replace(part, blob)
            path = Path(
                hf_hub_download(
                    file.repository,
                    file.name,
                    revision=file.commit,
                    cache_dir=self.cache,
                    endpoint=self.endpoint,
                    token=self._token,
                )
            )
        return path, found or check(path, file, self.endpoint)

    def forget(self, file: SourceFile) -> None:
        """Removes a file from the cache whose bytes turned out to be wrong."""
        path = self._folder(file) / "snapshots" / str(file.commit) / file.name
        blob = path.resolve()
        if blob.is_relative_to(self.cache.resolve()):  # a link may lead to a file that is not ours to remove
            blob.unlink(missing_ok=True)
        path.unlink(missing_ok=True)

    def _complete(self, stream: _Bounded, file: SourceFile, remote: RemoteFile) -> None:
        here = stream.seek(0, os.SEEK_END)
        if here > remote.size:
            here = stream.truncate(stream.seek(0))
        headers: dict[str, Any] = build_hf_headers(token=self._token)
        headers["Accept-Encoding"] = "identity"
        if urlsplit(remote.url).netloc != urlsplit(self._url(file)).netloc:
            # A storage elsewhere has a signed address, and no need of the token.
            headers.pop("authorization", None)
        http_get(
            remote.url,
            stream,
            resume_size=here,
            headers=headers,
            expected_size=remote.size,
            displayed_filename=file.path,
        )
        stream.flush()
        os.fsync(stream.fileno())

    def _url(self, file: SourceFile) -> str:
        return hf_hub_url(file.repository, file.name, revision=file.commit, endpoint=self.endpoint)

    def _folder(self, file: SourceFile) -> Path:
        return self.cache / repo_folder_name(repo_id=file.repository, repo_type="model")

    def _part(self, file: SourceFile, remote: RemoteFile) -> Path:
        return self._folder(file) / "blobs" / f"{remote.blob}.part"

    @property
    def _token(self) -> bool:
        return self._gated and self.has_token

    @contextmanager
    def _told(self, repository: str, file: SourceFile | None = None) -> Iterator[None]:
        """Turns errors of the hub and of the disk into one that says what to do. The library's own texts
        are left out: they name addresses that are signed."""
        where = f"{self.endpoint}/{repository}"
        try:
            yield
        except GatedRepoError as problem:
            raise BundleError(self._no_access(where, problem)) from None
        except RevisionNotFoundError:
            commit = file.commit if file else "main"
            raise BundleError(
                f"{where} has no commit {commit} (any more); --repo OWNER/NAME@COMMIT names another"
            ) from None
        except RemoteEntryNotFoundError:
            raise BundleError(
                f"{where} has no file {file.name if file else ''} at that commit; --repo names another "
                "repository"
            ) from None
        except RepositoryNotFoundError:
            raise BundleError(
                f"there is no {where}, or it is not public: --repo OWNER/NAME@COMMIT names another"
            ) from None
        except OfflineModeIsEnabled:
            raise BundleError(
                "HF_HUB_OFFLINE is set, and files are missing; unset it, or name a folder that has them "
                "by --folder"
            ) from None
        except HfHubHTTPError as problem:
            raise BundleError(
                f"{where} answers with status {problem.response.status_code}; what is here is kept: try again"
            ) from None
        except HTTPError as problem:
            raise BundleError(
                f"{self.endpoint} cannot be reached, or was lost: {type(problem).__name__}. What is here "
                "is kept: try "
                "again, name a mirror by --endpoint, or a folder that has the files by --folder"
            ) from None
        except OSError as problem:
            if problem.errno is None:  # the library's word for an answer that ended early
                raise BundleError(f"{where} was lost; what is here is kept: try again") from None
            raise BundleError(
                f"{file.name if file else repository} could not be kept in {self.cache}: "
                f"{problem.strerror or problem}; "
                "what is here is kept: free room there, or name another folder by --cache-dir, and try again"
            ) from problem

    def _no_access(self, where: str, problem: GatedRepoError) -> str:
        if not self.has_token:
            return f"{where} is gated: {_ACCESS}"
        if not self._gated:
            return f"{where} is gated, and its description says that it is not"
        status = problem.response.status_code
        reason = "your token is not valid" if status == 401 else "your token may not read it"
        return f"{where} is gated, and {reason} (status {status}): {_ACCESS}"


def quiet(*, bars: bool) -> None:
    """Lets the library write errors only, since its warnings name signed addresses; `bars` shows progress."""
    logging.set_verbosity_error()
    if not bars:
        disable_progress_bars()


class _Bounded(io.BufferedRandom):
    """A file that does not grow beyond `limit` bytes, whatever a server sends."""

    def __init__(self, path: Path, limit: int) -> None:
        super().__init__(io.FileIO(os.open(path, os.O_RDWR | os.O_CREAT, 0o666), "r+"))
        self._limit = limit

    def write(self, data: Any) -> int:
        if self.tell() + len(data) > self._limit:
            raise BundleError(f"more came than the {self._limit:,} bytes that were announced; it is not used")
        return super().write(data)


@contextmanager
def _alone(part: Path, limit: int) -> Iterator[_Bounded]:
    """The beginning of a file, for one process at a time. Bytes that were wrong do not stay."""
    with _Bounded(part, limit) as stream:
        try:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError(f"another process fetches {part}; let it finish, then try again") from None
        try:
            yield stream
        except WrongBytes:
            part.unlink()
            raise


def check(path: Path, file: SourceFile, origin: str) -> str:
    """The SHA-256 of a file from `origin`; raises WrongBytes unless it is the one in the description."""
    size, found = path.stat().st_size, digest.of_file(path)
    if file.size is not None and size != file.size:
        raise WrongBytes(
            f"{file.path} from {origin} has {size:,} bytes where {file.size:,} were expected; it is not used"
        )
    if file.sha256 is not None and found != file.sha256:
        raise WrongBytes(
            f"{file.path} from {origin} has SHA-256 {found} where {file.sha256} was expected; it is not used"
        )
    return found

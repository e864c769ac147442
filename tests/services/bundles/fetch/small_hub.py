"""A small model hub over HTTP: repositories with commits, a storage at another address, and ways to fail."""

from __future__ import annotations

import hashlib
import json
import re
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlsplit

TOKEN = "hf_a_token_that_may_read"
CHUNK = 1 << 14
LARGE = 1 << 12  # larger files are kept in the storage, as with LFS


@dataclass(frozen=True)
class Request:
    """A request as it was received."""

    method: str
    path: str
    start: int
    token: str | None
    storage: bool


@dataclass
class SmallHub:
    """`commits` has the files of a repository at a commit; `branches` where its main branch is."""

    commits: dict[tuple[str, str], dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    gated: set[str] = field(default_factory=set)
    lies: dict[str, bytes] = field(default_factory=dict)  # by file: what is sent, under the same digest
    announced: dict[str, int] = field(default_factory=dict)  # by file: the size that is told instead
    other_commit: str = ""  # what is told instead of the commit that was asked for
    requests: list[Request] = field(default_factory=list)
    sent: Callable[[int], None] = lambda count: None  # called with the bytes of each piece before it is sent

    def __post_init__(self) -> None:
        self._servers = [_Server(self, storage=False), _Server(self, storage=True)]
        self.endpoint, self.storage = (f"http://127.0.0.1:{server.server_port}" for server in self._servers)

    def publish(self, repository: str, commit: str, files: dict[str, bytes]) -> None:
        """A new commit of a repository, to which its main branch moves."""
        self.commits[repository, commit] = dict(files)
        self.branches[repository] = commit

    def close(self) -> None:
        for server in self._servers:
            server.shutdown()
            server.server_close()

    @property
    def downloads(self) -> list[Request]:
        """The requests for the contents of files."""
        return [
            request for request in self.requests if request.method == "GET" and "/api/" not in request.path
        ]

    def answer(self, handler: _Handler, storage: bool) -> None:
        """Answers a request to the hub, or to its storage."""
        path = unquote(urlsplit(handler.path).path)
        given = handler.headers.get("Authorization")
        start = int(re.match(r"bytes=(\d+)-", handler.headers.get("Range") or "bytes=0-")[1])
        self.requests.append(Request(handler.command, path, start, given, storage))
        found = re.fullmatch(r"/api/models/([^/]+/[^/]+)", path)
        if found:
            repository = found[1]
            if repository not in self.branches:
                handler.refuse(404, "RepoNotFound")
            elif self._may(handler, repository, given):
                content = {"id": repository, "sha": self.branches[repository], "siblings": [], "tags": []}
                handler.send(200, json.dumps(content).encode())
            return
        found = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        if not found:
            return handler.refuse(404, "EntryNotFound")
        repository, commit, name = found.groups()
        if repository not in self.branches:
            return handler.refuse(404, "RepoNotFound")
        if not storage and not self._may(handler, repository, given):
            return None
        files = self.commits.get((repository, commit))
        if files is None:
            return handler.refuse(404, "RevisionNotFound")
        if name not in files:
            return handler.refuse(404, "EntryNotFound")
        self._send_file(handler, storage, path, name, files[name], commit, start)
        return None

    def _may(self, handler: _Handler, repository: str, given: str | None) -> bool:
        if repository not in self.gated or given == f"Bearer {TOKEN}":
            return True
        handler.refuse(401 if given is None else 403, "GatedRepo")
        return False

    def _send_file(
        self, handler: _Handler, storage: bool, path: str, name: str, content: bytes, commit: str, start: int
    ) -> None:
        size = self.announced.get(name, len(content))
        headers = {
            "ETag": f'"{hashlib.sha256(content).hexdigest()}"',
            "X-Repo-Commit": self.other_commit or commit,
            "X-Linked-Size": str(size),
        }
        if not storage and len(content) > LARGE:
            handler.send(302, b"", {**headers, "Location": f"{self.storage}{path}?signature=secret"})
            return
        content = self.lies.get(name, content)
        if start:
            headers["Content-Range"] = f"bytes {start}-{len(content) - 1}/{len(content)}"
        handler.send(206 if start else 200, content[start:], headers, self.sent)


class _Server(ThreadingHTTPServer):
    """Serves the hub, or its storage, from a thread of its own until it is closed."""

    def __init__(self, hub: SmallHub, *, storage: bool) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.hub, self.storage = hub, storage
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, *_: object) -> None:
        """Says nothing of clients that have gone."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: _Server

    def log_message(self, *_: object) -> None:
        """Says nothing."""

    def do_GET(self) -> None:
        self.server.hub.answer(self, self.server.storage)

    do_HEAD = do_GET

    def refuse(self, status: int, code: str) -> None:
        self.send(status, b"{}", {"X-Error-Code": code, "X-Error-Message": "no"})

    def send(
        self,
        status: int,
        content: bytes,
        headers: dict[str, str] | None = None,
        sent: Callable[[int], None] = lambda count: None,
    ) -> None:
        self.send_response(status)
        for name, value in (headers or {}).items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command == "HEAD":
            return
        try:
            for start in range(0, len(content), CHUNK):
                piece = content[start : start + CHUNK]
                sent(len(piece))
                self.wfile.write(piece)
        except OSError:  # the client has gone
            self.close_connection = True

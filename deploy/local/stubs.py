"""The processes of the models of a Triton, its stubs: which of them have ended.

Triton tells so only to who asks the model, and a probe of another model may keep the supervisor from asking.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from pathlib import Path

_PROC = Path("/proc")
_ENDED = ("Z", "X", "x")  # states of a process: Triton leaves one that ended unburied
# One that has just ended, or another user's where `/proc` is mounted with `hidepid`.
_NOT_OURS = (FileNotFoundError, ProcessLookupError, PermissionError)


class Stubs:
    """Looks after the processes of one server."""

    def __init__(self, server: Callable[[], int | None]) -> None:
        """`server` is its process id while it runs."""
        self._server = server
        self._parent: int | None = None
        self._known: dict[str, int] = {}  # process ids by model

    def ended(self, models: Collection[str]) -> list[str]:
        """The models whose process was there at an earlier call and has ended; each is told once.

        None of a server that has ended itself.
        """
        server = self._server()
        if server is None or server != self._parent:
            self._parent, self._known = server, {}
        if server is None:
            return []
        ended = [model for model, process in self._known.items() if not _lives(process, server)]
        if self._server() != server:
            return []
        for model in ended:
            del self._known[model]
        if missing := set(models) - self._known.keys():
            found = stubs_of(server)
            self._known |= {model: found[model] for model in missing & found.keys()}
        return ended

    def forget(self) -> None:
        """Takes what is found next for the processes to look after: some were replaced."""
        self._known = {}


def stubs_of(server: int) -> dict[str, int]:
    """The processes of a server's models that have not ended."""
    found = {}
    for folder in _PROC.iterdir():
        if folder.name.isdigit() and _lives(int(folder.name), server):
            model = _model(folder)
            if model is not None:
                found[model] = int(folder.name)
    return found


def _lives(process: int, server: int) -> bool:
    """True if it is a child of the server that has not ended."""
    try:
        # The name before the last parenthesis may have any characters; after it come state and parent.
        state, parent = (_PROC / str(process) / "stat").read_text().rpartition(")")[2].split()[:2]
    except _NOT_OURS:
        return False
    return int(parent) == server and state not in _ENDED


def _model(folder: Path) -> str | None:
    """The model that a process runs: the folder of `1/model.py` among its arguments."""
    try:
        arguments = (folder / "cmdline").read_bytes().decode(errors="replace").split("\0")
    except _NOT_OURS:
        return None
    paths = [Path(argument) for argument in arguments if argument.endswith("/model.py")]
    return paths[0].parts[-3] if paths and len(paths[0].parts) > 3 else None

"""A real PostgreSQL, of Debian's package, for tests and benchmarks."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
from itertools import count
from pathlib import Path
from types import TracebackType

import psycopg

BINARIES = "/usr/lib/postgresql"
# A server must not run as root; Debian's package comes with a user for it. To change the user, Python would
# fork, and gRPC's handlers of fork may crash the child.
_AS_POSTGRES = ("setpriv", "--reuid=postgres", "--regid=postgres", "--clear-groups")


def binaries() -> Path | None:
    """The folder of the newest PostgreSQL that is installed."""
    found = sorted(Path(BINARIES).glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    return found[-1].parent if found else None


class Postgres:
    """A server that only this machine reaches, through a socket in its folder. A context: it ends with it."""

    def __init__(self, *, durable: bool = False) -> None:
        """`durable`: commits wait for the disk. Where only the program is killed, they need not."""
        found = binaries()
        if found is None:
            raise FileNotFoundError(f"there is no PostgreSQL in {BINARIES}: install the package postgresql")
        self._binaries, self._durable = found, durable
        self._folder = Path()
        self._numbers = count()

    def __enter__(self) -> Postgres:
        # The socket's path has to be short, and the folder open to the user that the server runs as.
        self._folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        if _is_root():
            shutil.chown(self._folder, "postgres", "postgres")
        self._run("initdb", "--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8",
                  "--no-sync", "-D", self._data)  # fmt: skip
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if (self._folder / "data/postmaster.pid").exists():
            self.stop("immediate")
        shutil.rmtree(self._folder)

    def start(self) -> None:
        """Starts the server, and waits until it takes connections."""
        options = ["listen_addresses=", f"unix_socket_directories={self._folder}", "max_connections=100"]
        if not self._durable:
            options += ["fsync=off", "synchronous_commit=off", "full_page_writes=off"]
        settings = " ".join(f"-c {option}" for option in options)
        self._run("pg_ctl", "-w", "-D", self._data, "-l", f"{self._folder}/log", "-o", settings, "start")

    def stop(self, mode: str = "fast") -> None:
        """Stops the server and breaks all connections; `immediate` does so without tidying up."""
        self._run("pg_ctl", "-w", "-D", self._data, "-m", mode, "stop")

    def create(self) -> str:
        """The address of a new, empty schema, with a user of its own."""
        name = f"test_{next(self._numbers)}"
        with psycopg.connect(self.url("postgres"), autocommit=True) as connection:
            connection.execute(f"CREATE ROLE {name} LOGIN".encode())
            connection.execute(f"CREATE SCHEMA AUTHORIZATION {name}".encode())
        return self.url(name)

    def url(self, user: str) -> str:
        """The address of the server for a user. It sees the schema of its own name."""
        return f"postgresql://{user}@/postgres?host={self._folder}"

    @property
    def _data(self) -> str:
        return f"{self._folder}/data"

    def _run(self, program: str, *arguments: str) -> None:
        user = _AS_POSTGRES if _is_root() else ()
        command = [*user, str(self._binaries / program), *arguments]
        with tempfile.TemporaryFile() as output:
            # A file and no pipe: the server keeps it open for as long as it runs.
            ended = subprocess.run(command, cwd=self._folder, stdout=output, stderr=output)
            output.seek(0)
            if ended.returncode:
                raise RuntimeError(f"{program}: {output.read().decode(errors='replace')}")


def _is_root() -> bool:
    return os.geteuid() == 0

"""Unpacks a newer C library beside the machine's own, for a program that needs one.

    python -m benchmarks.libc var/libc

Nothing is installed: packages of Debian 13 are unpacked into a folder, and only the program that needs them
is started through their loader. They come from the archive that this machine's apt uses, checked by the keys
it trusts; apt's own lists and settings do not change.
"""

from __future__ import annotations

import platform
import shutil
import subprocess
import sys
from pathlib import Path

NEEDED = (2, 38)
RELEASE = "trixie"
PACKAGES = ("libc6", "libstdc++6", "libgcc-s1")
LIBRARIES = "usr/lib/x86_64-linux-gnu"
LOADER = f"{LIBRARIES}/ld-linux-x86-64.so.2"
_KEYS = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class LibcError(RuntimeError):
    """No C library that is new enough is available; says why, and what to do."""


def new_enough(version: str) -> bool:
    """True if a glibc of this version is new enough."""
    numbers = version.split(".")
    return len(numbers) >= 2 and tuple(int(number) for number in numbers[:2]) >= NEEDED


def prefix(folder: Path) -> list[str]:
    """The words to put before a command that needs a newer library; none if the machine's is new enough."""
    kind, version = platform.libc_ver()
    if kind == "glibc" and new_enough(version):
        return []
    if not (folder / LOADER).exists():
        _unpack_into(folder)
    return [str(folder / LOADER), "--library-path", str(folder / LIBRARIES)]


def _unpack_into(folder: Path) -> None:
    wanted = {tool: shutil.which(tool) for tool in ("apt-get", "dpkg-deb")}
    missing = [tool for tool, found in wanted.items() if found is None] + [str(_KEYS)] * (not _KEYS.exists())
    if missing:
        raise LibcError(
            f"this needs glibc {NEEDED[0]}.{NEEDED[1]}, the machine has {platform.libc_ver()[1] or 'none'}; "
            f"to unpack a newer one, {', '.join(missing)} is missing: use Debian, or a newer system"
        )
    work = folder.with_suffix(".new").resolve()
    shutil.rmtree(work, ignore_errors=True)
    for part in ("lists/partial", "cache/archives/partial", "packages", "root"):
        (work / part).mkdir(parents=True)
    (work / "status").touch()
    (work / "sources.list").write_text(
        f"deb [signed-by={_KEYS}] {_archive()} {RELEASE} main\n", encoding="utf-8"
    )
    apt = ["apt-get", "-qq"]
    for setting in (
        f"Dir::Etc::sourcelist={work}/sources.list",
        "Dir::Etc::sourceparts=-",
        f"Dir::State::lists={work}/lists",
        f"Dir::State::status={work}/status",
        f"Dir::Cache={work}/cache",
        "APT::Architecture=amd64",
        "APT::Sandbox::User=",
    ):
        apt += ["-o", setting]
    _run([*apt, "update"], work)
    _run([*apt, "download", *PACKAGES], work / "packages")
    for package in sorted((work / "packages").glob("*.deb")):
        _run(["dpkg-deb", "--extract", str(package), str(work / "root")], work)
    if not (work / "root" / LOADER).exists():
        raise LibcError(f"the packages of {RELEASE} do not contain {LOADER}")
    shutil.rmtree(folder, ignore_errors=True)
    (work / "root").rename(folder)
    shutil.rmtree(work)


def _archive() -> str:
    """The address of the Debian archive that this machine uses."""
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI)|$(ORIGIN)|$(COMPONENT)"]
    for line in _run(wanted, Path.cwd()).splitlines():
        where, origin, component = line.split("|")
        if origin == "Debian" and component == "main":
            return where
    raise LibcError("this machine's apt has no Debian archive, or was never updated: try `apt-get update`")


def _run(command: list[str], folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise LibcError(f"`{command[0]}` failed:\n{done.stderr.strip()}")
    return done.stdout


if __name__ == "__main__":
    try:
        print(*prefix(Path(sys.argv[1])))
    except LibcError as fault:
        sys.exit(str(fault))

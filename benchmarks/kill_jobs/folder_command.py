"""A folder of pictures, filled by the command line, which is started again until all of it is done."""

from __future__ import annotations

import asyncio
import sys
from pathlib import Path

from benchmarks import damaged_files

_SIDE = 64  # pixels
_DONE, _ITEMS_LEFT = 0, 1
_LOG_LINES = 20


class FolderCommand:
    """`intarsia fill-region --pictures`, always with the same pictures, each time into a new folder."""

    def __init__(self, root: Path, count: int, seed: int) -> None:
        """Writes so many pictures with masks to `root`."""
        self._root, self._rounds = root, 0
        damaged_files.write(root, count=count, broken=0, side=_SIDE, seed=seed)
        self.log = root / "command.log"
        self.exits: list[str] = []  # of commands that a signal ended, which nobody had sent

    async def run(self, address: str) -> dict[str, bytes]:
        """Runs it until no picture is left; the bytes of its results by their paths."""
        self._rounds += 1
        out = self._root / f"out-{self._rounds}"
        command = ["fill-region", "--pictures", self._root / "imgs", "--masks", self._root / "masks"]
        command += ["--inside", "white", "--steps", "4", "--seed", "7", "--reproducible", "--out", out]
        command += ["--server", address, "--json"]
        words = [sys.executable, "-m", "intarsia", *map(str, command)]
        code = _ITEMS_LEFT
        while code != _DONE:
            with self.log.open("ab") as log:
                process = await asyncio.create_subprocess_exec(*words, stdout=log, stderr=log)
                try:
                    code = await process.wait()
                finally:
                    if process.returncode is None:
                        process.kill()
                        await process.wait()
            if code < 0:
                tail = "\n".join(self.log.read_text(errors="replace").splitlines()[-_LOG_LINES:])
                self.exits.append(f"folder command ended with {code}:\n{tail}")
        return {file.relative_to(out).as_posix(): file.read_bytes() for file in sorted(out.rglob("*.png"))}

    async def run_in_turns(self, address: str, stop: asyncio.Event) -> list[dict[str, bytes]]:
        """The results of one round after the other, at least one, until `stop` is set."""
        rounds = [await self.run(address)]
        while not stop.is_set():
            rounds.append(await self.run(address))
        return rounds

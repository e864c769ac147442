"""The README's fenced blocks, and which of their lines prepare a machine rather than use a server."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[1]
README = ROOT / "README.md"

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", re.DOTALL | re.MULTILINE)
# What a test cannot do in passing: install, start the platform, convert weights of gigabytes.
_SETUP = ("make", "pip", ".", "intarsia up", "intarsia weights")


@dataclass(frozen=True)
class Block:
    """One fenced block. `line` is where it begins in the README."""

    line: int
    language: str
    text: str

    @property
    def commands(self) -> list[str]:
        """The lines of a shell block, continued ones as one."""
        lines = self.text.replace("\\\n", " ").splitlines()
        return [line for line in lines if line.strip() and not line.startswith("#")]

    def __str__(self) -> str:
        return f"line {self.line}"


def blocks(*languages: str) -> list[Block]:
    """The README's blocks in these languages, in order; an empty name is for blocks without one."""
    text = README.read_text(encoding="utf-8")
    found = [
        Block(text.count("\n", 0, match.start()) + 1, match[1], match[2]) for match in _FENCE.finditer(text)
    ]
    return [block for block in found if block.language in languages] if languages else found


def is_setup(command: str) -> bool:
    """Whether a shell line prepares instead of using a server."""
    words = shlex.split(command)
    return words[0] in _SETUP or " ".join(words[:2]) in _SETUP

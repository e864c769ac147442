"""The README's snippets, run as they stand against the real stack. Only the address is another one."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import av
import pytest
from PIL import Image

from deploy.local.sample import sample, sample_clip
from tests.readme import ROOT, Block, blocks, is_setup

ADDRESS = "localhost:50051"
SHELL = [block for block in blocks("sh") if not all(map(is_setup, block.commands))]


@pytest.fixture(scope="session")
def style(weights: Path) -> bytes:
    """An adapter of the edits' network."""
    from services.bundles.bundle import Bundle
    from training.tiny.adapters import lora

    return lora(Bundle.open(weights / "ip2p").network("unet")).numpy().tobytes()


@pytest.fixture
def desk(stack, style: bytes, tmp_path: Path) -> Path:
    """A folder with a photo, a clip and an adapter in it, and `intarsia` on the path beside it."""
    Image.fromarray(sample()).save(tmp_path / "photo.png")
    sample_clip(tmp_path / "walk.mp4")
    (tmp_path / "style.safetensors").write_bytes(style)
    command = tmp_path / "bin/intarsia"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m intarsia "$@"\n')
    command.chmod(0o755)
    return tmp_path


def run(command: list[str], desk: Path, address: str) -> str:
    environment = {
        **os.environ,
        "INTARSIA_SERVER": address,
        "PATH": f"{desk / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(ROOT),
    }
    ran = subprocess.run(command, cwd=desk, env=environment, capture_output=True, text=True, timeout=300)
    assert ran.returncode == 0, f"{ran.stdout}\n{ran.stderr}"
    return ran.stdout


def pictures(desk: Path, names: list[str]) -> None:
    """Every file a snippet says it writes is there, and a picture, or a clip."""
    assert names
    for name in names:
        if Path(name).suffix in (".mkv", ".mp4"):
            with av.open(str(desk / name)) as clip:
                assert next(clip.decode(video=0)).width == 480
            continue
        with Image.open(desk / name) as found:
            found.load()


@pytest.mark.parametrize("block", blocks("python"), ids=str)
def test_python_snippets_run(stack, desk: Path, block: Block) -> None:
    assert ADDRESS in block.text
    snippet = desk / "snippet.py"
    snippet.write_text(block.text.replace(ADDRESS, stack.address), encoding="utf-8")
    assert run([sys.executable, snippet.name], desk, stack.address)
    pictures(desk, re.findall(r'(?:to=|save\()"([^"]+)"', block.text))


@pytest.mark.parametrize("block", SHELL, ids=str)
def test_shell_snippets_run(stack, desk: Path, block: Block) -> None:
    commands = [command for command in block.commands if not is_setup(command)]
    assert run(["bash", "-euo", "pipefail", "-c", "\n".join(commands)], desk, stack.address)
    written = [
        name
        for command in commands
        for name in re.findall(r"(?:-o|--save-mask|--save-overlay) (\S+)", command)
    ]
    pictures(desk, written)


def test_there_are_snippets() -> None:
    assert len(blocks("python")) >= 3
    assert len(SHELL) >= 2

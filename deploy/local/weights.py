"""Chooses the default weights."""

from __future__ import annotations

import logging
import os
import shutil
import subprocess
import sys
import zlib
from pathlib import Path

from deploy.local.triton import ROOT

log = logging.getLogger(__name__)

STARTER = ROOT / "weights/starter"
NEEDED = ("ip2p/vae", "ip2p/text_encoder", "ip2p/unet", "sam/model.safetensors")


def default_weights(data: Path) -> Path:
    """The folder in `INTARSIA_WEIGHTS`, else the starter weights, else random ones under `data`."""
    named = os.environ.get("INTARSIA_WEIGHTS")
    if named:
        return Path(named)
    if all((STARTER / part).exists() for part in NEEDED):
        return STARTER
    folder = data / f"random-weights-{_recipe():08x}"
    if not folder.is_dir():
        log.warning("no starter weights in this checkout: using random ones, which make noise")
        unfinished = folder.with_name(folder.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "training.tiny", str(unfinished)], check=True)
        unfinished.rename(folder)
    return folder


def _recipe() -> int:
    """A checksum of the code that makes random weights: those of an older version may not load any more."""
    sources = sorted((ROOT / "training/tiny").glob("*.py"))
    return zlib.crc32(b"".join(source.read_bytes() for source in sources))

"""Which weights to serve when none are named."""

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
    """What `INTARSIA_WEIGHTS` names, else the starter weights, else random ones under `data`."""
    named = os.environ.get("INTARSIA_WEIGHTS")
    if named:
        return Path(named)
    if all((STARTER / part).exists() for part in NEEDED):
        return STARTER
    folder = data / f"random-weights-{_recipe():08x}"
    if not folder.is_dir():
        log.warning("no starter weights in this checkout: serving random ones, which make noise")
        unfinished = folder.with_name(folder.name + ".new")
        shutil.rmtree(unfinished, ignore_errors=True)
        subprocess.run([sys.executable, "-m", "training.tiny", str(unfinished)], check=True)
        unfinished.rename(folder)
    return folder


def _recipe() -> int:
    """Tells the makers of random weights apart: what an older one made may not load any more."""
    sources = sorted((ROOT / "training/tiny").glob("*.py"))
    return zlib.crc32(b"".join(source.read_bytes() for source in sources))

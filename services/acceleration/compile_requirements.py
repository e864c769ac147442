"""What compiling a network needs at run time, beside PyTorch."""

from __future__ import annotations

import importlib.util
import os
import shutil
import sys
import sysconfig
from pathlib import Path

_COMPILERS = ("gcc", "cc", "clang")


def missing_requirement(cache: Path | None) -> str:
    """What is missing, with the remedy; empty if a network can be compiled for a GPU."""
    if importlib.util.find_spec("triton") is None:
        return "the Python package triton is missing; install PyTorch with CUDA"
    if _c_compiler() is None:
        return f"no C compiler is found; install one of {', '.join(_COMPILERS)} or name it in CC"
    headers = Path(sysconfig.get_paths()["include"])
    if not (headers / "Python.h").is_file():
        return f"{headers} has no Python.h; install the headers of this Python"
    if cache is None:
        return "INTARSIA_CACHE names no folder for compiled code; set it"
    if not _writable(cache):
        return (
            f"nothing can be written to {cache}, the folder for compiled code; name another in INTARSIA_CACHE"
        )
    return ""


def prepare_compiler(cache: Path) -> None:
    """Tells PyTorch's compiler where compiled code is kept, and how it may run."""
    os.environ.setdefault("TORCHINDUCTOR_CACHE_DIR", str(cache / "torchinductor"))
    if not Path(sys.executable or "").name.startswith("python"):
        # Inside Triton the program is not Python, and the compiler's worker processes could not be started.
        import torch._inductor.config as inductor

        inductor.compile_threads = 1


def _c_compiler() -> str | None:
    return next(
        (found for name in (os.environ.get("CC", ""), *_COMPILERS) if (found := shutil.which(name))), None
    )


def _writable(folder: Path) -> bool:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError:
        return False
    return os.access(folder, os.W_OK | os.X_OK)

"""Keeps the prices that a step loop learns in a file, so that the next start begins with them."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import torch

from services.denoising.costs import Costs
from services.denoising.denoiser_family import DenoiserFamily
from services.denoising.price_file import Known, PriceFile

_EVERY_SECONDS = 60.0


class PriceKeeper:
    """Writes what is known every so often from a thread of its own, and once more when it is closed."""

    def __init__(self, file: PriceFile, costs: Costs, every: float = _EVERY_SECONDS) -> None:
        self._file, self._costs, self._every = file, costs, every
        self._written: Known | None = None
        self._closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name="price-keeper", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Writes what is known now, and ends."""
        self._closing.set()
        self._thread.join()

    def _run(self) -> None:
        self._write()
        while not self._closing.wait(self._every):
            self._write()
        self._write()

    def _write(self) -> None:
        known = self._costs.known()
        if known != self._written:
            self._file.write(known)
            self._written = known


def price_file(cache: Path, family: DenoiserFamily) -> PriceFile:
    """The file in the folder of what models keep that holds the prices of a family here and now."""
    parameter = next(family.network.parameters(), None)
    circumstances: dict[str, str | int] = {
        "device": device_name(family.device),
        "network": str(family.facts()["weights"]),
        "number type": str(parameter.dtype) if parameter is not None else "",
        "threads": torch.get_num_threads(),
        "path": str(family.passes.facts()["path"]),
        "torch": torch.__version__,
    }
    return PriceFile(cache / "prices", circumstances)


def device_name(device: torch.device) -> str:
    """The name of a device: of the GPU, or of the processor and how many of its cores may be used."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    name = "processor"
    cpuinfo = Path("/proc/cpuinfo")
    for line in cpuinfo.read_text().splitlines() if cpuinfo.exists() else ():
        if line.startswith("model name"):
            name = line.partition(":")[2].strip()
            break
    return f"{name}, {len(os.sched_getaffinity(0))} cores"

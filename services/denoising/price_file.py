"""The file in which a model keeps the prices of its passes between starts.

Prices hold for one network on one device in the same circumstances: threads, number type, versions. Others
have a file of their own. One that cannot be used is ignored: prices are a starting point, and learnt anew.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from services.denoising.costs import Kind

log = logging.getLogger(__name__)

Known = Mapping[Kind, Mapping[int, float]]  # seconds by kind of pass and rows

_FORMAT = 1
_MOST_SECONDS = 3600.0


class PriceFile:
    """The prices in some circumstances, in a folder that is made when they are written."""

    def __init__(self, folder: Path, circumstances: Mapping[str, str | int]) -> None:
        self._circumstances = {**circumstances, "format": _FORMAT}
        text = json.dumps(self._circumstances, sort_keys=True)
        self.path = folder / f"{hashlib.sha256(text.encode()).hexdigest()[:32]}.json"

    def read(self) -> Known:
        """What is known; nothing if there is no file, or none that can be used."""
        try:
            content = json.loads(self.path.read_text(encoding="utf-8"))
            if content["circumstances"] != self._circumstances:
                raise ValueError("it was written in other circumstances")
            return dict(_kind_prices(line) for line in content["passes"])
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as fault:
            log.warning("the prices in %s are not used, and learnt anew: %s", self.path, fault)
            return {}

    def write(self, known: Known) -> None:
        """Replaces the file. If that is not possible, the log says why and the old one stays."""
        content = {
            "circumstances": self._circumstances,
            "passes": [
                {"work": kind.work, "eager": kind.eager, "seconds": {str(n): s for n, s in seconds.items()}}
                for kind, seconds in known.items()
            ],
        }
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            handle, name = tempfile.mkstemp(dir=self.path.parent, prefix=f"{self.path.stem}.", suffix=".new")
            try:
                with os.fdopen(handle, "w", encoding="utf-8") as file:
                    json.dump(content, file, indent=1)
                os.replace(name, self.path)
            except OSError:
                os.unlink(name)
                raise
        except OSError as fault:
            log.warning("the prices of passes cannot be kept in %s: %s", self.path.parent, fault)


def _kind_prices(line: Any) -> tuple[Kind, dict[int, float]]:
    kind = Kind(line["work"], line["eager"])
    seconds = {int(rows): float(spent) for rows, spent in line["seconds"].items()}
    whole = type(kind.work) is int and type(kind.eager) is bool and kind.work > 0 and seconds
    if not whole or not all(rows > 0 and 0 < spent < _MOST_SECONDS for rows, spent in seconds.items()):
        raise ValueError(f"{str(line)[:80]} is no price")
    return kind, seconds

"""Checks every import of the tree against the table in `docs/architecture.md`."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TREES = (
    "canvas",
    "store",
    "intarsia",
    "orchestrator",
    "services",
    "model_repository",
    "deploy",
    "training",
    "benchmarks",
    "tests",
)

ERRORS = {"intarsia.errors"}
BASE = {"services.refusal", "services.json_text", "services.cache"}
# What the orchestrator's packages may import, from the lowest upward.
BELOW_MEDIA = {"canvas", "store", "orchestrator.aio", *ERRORS}
BELOW_TRITON = {
    "orchestrator.metrics",
    "orchestrator.logs",
    "orchestrator.deadline",
    "orchestrator.aio",
    *ERRORS,
}
BELOW_MODELS = {"orchestrator.triton", "orchestrator.runs", *BELOW_TRITON, *BELOW_MEDIA}
BELOW_STAGES = {"orchestrator.jobs.codec", "orchestrator.models", "orchestrator.media", *BELOW_MODELS}
BELOW_JOBS = {"orchestrator.caller", "orchestrator.stages", *BELOW_STAGES}
BELOW_API = {
    "orchestrator.jobs",
    "orchestrator.jobs.job",
    "orchestrator.jobs.ledger",
    "orchestrator.workflows",
    "intarsia.v1",
    *BELOW_JOBS,
}
NETWORKS = {"services.bundles", *BASE}
DENOISERS = ("ip2p_unet", "sd2_inpaint")
FAMILY = {
    "services.unet",
    "services.acceleration",
    "services.denoising",
    "services.adapters",
    "services.vae.decoder",
    *NETWORKS,
}

# A module belongs to the longest name here that it starts with, and may import from its own layer and from
# the layers beside that name. Every module must belong to one.
MAY: dict[str, set[str]] = {
    "intarsia.errors": set(),
    "intarsia.v1": set(),
    "intarsia": {"intarsia.v1", *ERRORS},
    "intarsia.cli": {"intarsia", "intarsia.v1", *ERRORS},
    "intarsia.__main__": {"intarsia.cli"},
    "canvas": ERRORS,
    "store": ERRORS,
    "orchestrator.settings": set(),
    "orchestrator.aio": set(),
    "orchestrator.caller": set(),
    "orchestrator.metrics": set(),
    "orchestrator.deadline": ERRORS,
    "orchestrator.logs": ERRORS,
    "orchestrator.media": BELOW_MEDIA,
    "orchestrator.triton": BELOW_TRITON,
    "orchestrator.runs": {"orchestrator.metrics", "orchestrator.deadline"},
    "orchestrator.models": BELOW_MODELS,
    "orchestrator.stages": BELOW_STAGES,
    "orchestrator.workflows": {
        "orchestrator.stages",
        "orchestrator.models",
        "orchestrator.media",
        "orchestrator.runs",
        *BELOW_MEDIA,
    },
    "orchestrator.jobs.codec": set(),
    "orchestrator.jobs": {
        "orchestrator.jobs.job",
        "orchestrator.jobs.ledger",
        *BELOW_JOBS,
    },  # recipes are handed to it, so it knows none of them
    "orchestrator.jobs.job": BELOW_JOBS,
    "orchestrator.jobs.ledger": {"orchestrator.jobs.job", "orchestrator.aio", "store", *ERRORS},
    "orchestrator.api": BELOW_API,
    # The two modules that connect everything.
    "orchestrator.app": {"orchestrator.api", "orchestrator.settings", *BELOW_API} - {"intarsia.v1"},
    "orchestrator.__main__": {
        "orchestrator.app",
        "orchestrator.settings",
        "orchestrator.logs",
        "orchestrator.models",
    },
    "orchestrator": set(),
    "services.refusal": set(),
    "services.cache": set(),
    "services.json_text": {"services.refusal"},
    "services.bundles": set(),
    "services.adapters": {"services.bundles", *BASE},
    "services.acceleration": set(),
    "services.denoising": {
        "services.denoising.prediction",
        "services.acceleration",
        "services.adapters",
        "services.refusal",
    },
    "services.denoising.prediction": set(),
    "services.unet": {"services.denoising", "services.acceleration", "services.adapters", *NETWORKS},
    **{f"services.{name}": FAMILY for name in DENOISERS},
    "services.sam": {"services.acceleration", *NETWORKS},
    "services.text_encoder": NETWORKS,
    "services.vae": {"services.vae.decoder", "services.vae.tiles", *NETWORKS},
    "services.vae.decoder": {
        "services.vae.tiles",
        *NETWORKS,
    },  # for families that decode in their own process
    "services.vae.tiles": set(),
    "services.registry": {*(f"services.{name}" for name in DENOISERS), "services.denoising", *NETWORKS},
    "services.runtime": {"services.denoising", "services.acceleration", "services.adapters", *NETWORKS},
    "services.runtime.denoiser_model": {
        "services.registry",
        "services.runtime",
        "services.denoising",
        "services.adapters",
    },
    "services": set(),
    "model_repository": {"services.runtime.denoiser_model"},  # of every denoiser
    "model_repository.sam": {"services.sam", "services.runtime"},
    "model_repository.text_encoder": {"services.text_encoder", "services.runtime"},
    "model_repository.vae": {"services.vae", "services.runtime"},
    "deploy": {"intarsia", "intarsia.v1", "deploy.local.sample", "deploy.local.weights", *ERRORS},
    "deploy.local.sample": {"training"},  # a picture drawn in the world the starter weights know
    "deploy.local.weights": {"deploy", "training"},
    "training": {"canvas", "services.denoising.prediction"},
}
# These may import everything.
FREE = ("tests", "benchmarks")

# Third-party packages that only some packages may import.
ONLY: dict[str, tuple[str, ...]] = {
    "torchvision": (),
    "triton_python_backend_utils": ("services.runtime",),
    "tritonclient": ("orchestrator.triton", "deploy.local", *FREE),
    "prometheus_client": ("orchestrator.metrics", *FREE),
    "torch": ("services", "training", *FREE),
    "diffusers": ("services", "training", *FREE),
    "transformers": ("services", "training", *FREE),
    "sam2": ("services", "training", *FREE),
    "numpy": ("canvas", "intarsia.pixels", "orchestrator", "deploy", "training", *FREE),
    "cv2": ("canvas", "intarsia.pixels", "orchestrator", "services.sam", "training", *FREE),
    "PIL": ("intarsia.pixels", "orchestrator", "deploy", "training", *FREE),
    "av": ("orchestrator.media", "deploy", *FREE),
    "sqlalchemy": ("orchestrator.jobs.ledger", *FREE),
    "psycopg": ("orchestrator.jobs.ledger", *FREE),
}


def modules() -> dict[str, Path]:
    """Every module of the tree by its name."""
    found = {}
    for tree in TREES:
        for file in sorted((ROOT / tree).rglob("*.py")):
            parts = file.relative_to(ROOT).with_suffix("").parts
            found[".".join(part for part in parts if part != "__init__")] = file
    return found


MODULES = modules()


def starts(module: str, prefix: str) -> bool:
    return module == prefix or module.startswith(f"{prefix}.")


def layer_of(module: str) -> str | None:
    return max((layer for layer in MAY if starts(module, layer)), key=len, default=None)


def imported(source: str) -> Iterator[str]:
    """Yields all imports of a source; a name that is not a module of ours counts as its package."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            if node.level or node.module is None:
                yield "a relative import"
                continue
            for alias in node.names:
                whole = f"{node.module}.{alias.name}"
                yield whole if whole in MODULES else node.module


def complaints(module: str, source: str) -> list[str]:
    """The imports of a module that are not allowed."""
    found = []
    for name in imported(source):
        package = name.partition(".")[0]
        if package in ONLY and not any(starts(module, where) for where in ONLY[package]):
            found.append(f"{module} imports {name}, which only {', '.join(ONLY[package]) or 'no module'} may")
        elif package in TREES and not starts(module, "tests") and not starts(module, "benchmarks"):
            own, target = layer_of(module), layer_of(name)
            if own is None or target is None or (own != target and target not in MAY[own]):
                found.append(f"{module} imports {name}")
        elif starts(module, "model_repository") or name == "a relative import":
            found.append(f"{module} imports {name}")
    return found


@pytest.mark.parametrize("tree", TREES)
def test_every_import_is_allowed(tree: str) -> None:
    inside = {name: file for name, file in MODULES.items() if starts(name, tree)}
    assert inside
    assert [
        one for name, file in inside.items() for one in complaints(name, file.read_text(encoding="utf-8"))
    ] == []


def test_every_module_belongs_to_a_layer() -> None:
    assert [name for name in MODULES if not starts(name, "tests") and not starts(name, "benchmarks")
            and layer_of(name) is None] == []  # fmt: skip


def test_every_layer_has_modules() -> None:
    """A line for a package that does not exist would check nothing."""
    gone = [layer for layer in MAY if not any(starts(name, layer) for name in MODULES)]
    assert gone == []


@pytest.mark.parametrize(
    ("module", "source"),
    [
        ("intarsia.client", "import numpy"),
        ("intarsia.client", "from canvas import crop"),
        ("intarsia.cli.usage", "def late():\n    from orchestrator import settings"),
        ("canvas.crop", "from intarsia import client"),
        ("orchestrator.api.jobs", "import services.refusal"),
        ("orchestrator.models.sam", "from orchestrator.workflows.edit_region import EditRegion"),
        ("orchestrator.models.sam", "from intarsia.v1 import region_pb2"),
        ("orchestrator.workflows.edit_region", "from orchestrator.triton.endpoint import Endpoint"),
        ("orchestrator.models.vae", "import tritonclient.grpc"),
        ("orchestrator.models.vae", "import torch"),
        ("orchestrator.jobs.driver", "import sqlalchemy"),
        ("orchestrator.jobs.ledger.ledger", "from orchestrator.jobs.queue import JobQueue"),
        ("services.vae.service", "from orchestrator.media.picture import picture"),
        ("services.vae.service", "from intarsia import client"),
        ("services.vae.service", "import triton_python_backend_utils as pb"),
        ("services.denoising.engine", "from services.ip2p_unet import family"),
        ("services.sam.sam2", "from torchvision import transforms"),
        ("services.bundles.bundle", "from training.tiny import write"),
        ("model_repository.sam.1.model", "import torch"),
        ("model_repository.sam.1.model", "from services.vae.service import Vae"),
        ("deploy.local.stack", "from orchestrator.settings import Settings"),
        ("tests.services.sam.test_sam", "import torchvision"),
        ("orchestrator.aio", "from . import metrics"),
    ],
)
def test_a_forbidden_import_is_found(module: str, source: str) -> None:
    assert len(complaints(module, source)) == 1


def test_the_orchestrator_loads_no_library_of_the_models() -> None:
    """Not even through another library."""
    code = "import sys, orchestrator.app; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not {"torch", "services", "diffusers", "transformers"} & set(loaded.stdout.split())

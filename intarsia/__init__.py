"""Regional editing of pictures: a light client for an Intarsia server.

    import intarsia

    with intarsia.Client("localhost:50051") as client:
        job = client.edit_region("photo.png", intarsia.click(120, 80), "make it blue", seed=7)
        job.result().picture.save("out.png")

`AsyncClient` has the same methods for asyncio. Names are loaded when they are first used, so that
importing a part of the package (such as `intarsia.errors`) costs no more than that part.
"""

from __future__ import annotations

from importlib import import_module
from importlib.metadata import version
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intarsia.async_client import AsyncClient
    from intarsia.client import Client
    from intarsia.files import AsyncResultFile, ResultFile
    from intarsia.jobs import AsyncJob, Job
    from intarsia.region import Region, box, click, clicks, mask, polygon, rectangle, words
    from intarsia.results import (
        AdapterReport,
        ArtifactInfo,
        JobState,
        JobStatus,
        PictureResult,
        RequestPlan,
        SegmentResult,
        TrackResult,
    )
    from intarsia.retry import RetryPolicy

__all__ = [
    "AdapterReport",
    "ArtifactInfo",
    "AsyncClient",
    "AsyncJob",
    "AsyncResultFile",
    "Client",
    "Job",
    "JobState",
    "JobStatus",
    "PictureResult",
    "Region",
    "RequestPlan",
    "ResultFile",
    "RetryPolicy",
    "SegmentResult",
    "TrackResult",
    "box",
    "click",
    "clicks",
    "mask",
    "polygon",
    "rectangle",
    "words",
]

_MODULES = {
    "async_client": ("AsyncClient",),
    "client": ("Client",),
    "files": ("AsyncResultFile", "ResultFile"),
    "jobs": ("AsyncJob", "Job"),
    "region": ("Region", "box", "click", "clicks", "mask", "polygon", "rectangle", "words"),
    "results": (
        "AdapterReport",
        "ArtifactInfo",
        "JobState",
        "JobStatus",
        "PictureResult",
        "RequestPlan",
        "SegmentResult",
        "TrackResult",
    ),
    "retry": ("RetryPolicy",),
}


def __getattr__(name: str) -> Any:
    if name == "__version__":
        return version("intarsia")
    for module, names in _MODULES.items():
        if name in names:
            return getattr(import_module(f"intarsia.{module}"), name)
    raise AttributeError(f"module 'intarsia' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

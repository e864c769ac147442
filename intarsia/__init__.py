"""Regional editing of pictures: a light client for an Intarsia server.

    import intarsia

    with intarsia.Client("localhost:50051") as client:
        job = client.edit_region("photo.png", intarsia.click(120, 80), "make it blue", seed=7)
        client.download(job.result().picture, to="out.png")

`AsyncClient` has the same methods for asyncio. Names are loaded when they are first used, so that
importing a part of the package (such as `intarsia.errors`) costs no more than that part.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from intarsia.client import AsyncClient, Client
    from intarsia.jobs import AsyncJob, Job
    from intarsia.region import Region, box, click, clicks, mask, polygon, rectangle, words
    from intarsia.retry import RetryPolicy

__all__ = [
    "AsyncClient",
    "AsyncJob",
    "Client",
    "Job",
    "Region",
    "RetryPolicy",
    "box",
    "click",
    "clicks",
    "mask",
    "polygon",
    "rectangle",
    "words",
]

_HOMES = {
    "AsyncClient": "client",
    "AsyncJob": "jobs",
    "Client": "client",
    "Job": "jobs",
    "RetryPolicy": "retry",
}


def __getattr__(name: str) -> Any:
    if name not in __all__:
        raise AttributeError(f"module 'intarsia' has no attribute {name!r}")
    return getattr(import_module(f"intarsia.{_HOMES.get(name, 'region')}"), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})

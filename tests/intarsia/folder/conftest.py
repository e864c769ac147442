"""A server that paints what it is asked for, and runs of folders against it."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import intarsia
from intarsia import folder
from intarsia.folder import Folder, Report
from intarsia.v1.editing_pb2 import EditRegionRequest
from intarsia.v1.jobs_pb2 import Failure, Job
from intarsia.v1.results_pb2 import View
from tests.intarsia.conftest import QUICK
from tests.intarsia.double import Double

Run = Callable[..., Report]


class Painter(Double):
    """Makes of every picture what was asked for; of what is no picture, a failure that says so."""

    def asked_by(self, job: str) -> EditRegionRequest:
        return next(r for r in self.requests("EditRegion") if f"jobs/{r.job.request_id}" == job)

    def succeed(self, name: str) -> None:
        request = self.asked_by(name)
        source = self.stored[request.job.picture]
        if not source.startswith(b"picture"):
            why = f"this is no picture but {source.decode()}; send another one"
            metadata = {"field": "picture"}
            failure = Failure(
                status="INVALID_ARGUMENT", reason="INVALID_FIELD", message=why, metadata=metadata
            )
            self.finish(name, Job.STATE_FAILED, failure)
            return

        def made(job: Job) -> None:
            mask = self.stored.get(request.region.mask.artifact, b"everything")
            picture = source + b" in " + mask + b" " + request.instruction.encode()
            job.progress.fraction = 1.0
            result = job.result.picture
            result.picture, result.mask = self.keep(picture), self.keep(b"mask of " + source)
            result.manifest.seed = request.job.sampling.seed or 99
            for number in range(request.job.candidates):
                candidate = result.candidates.add(picture=self.keep(picture + b"." * number), seed=number)
                if View.KIND_LAYER in request.job.output.views:
                    layer = self.keep(b"layer %d of " % number + source)
                    candidate.views.add(kind=View.KIND_LAYER, picture=layer)
            if View.KIND_OVERLAY in request.job.output.views:
                result.views.add(kind=View.KIND_OVERLAY, picture=self.keep(b"overlay of " + source))
            if request.job.output.HasField("collage"):
                result.collage = self.keep(b"collage of " + source)

        self._move(name, made, Job.STATE_SUCCEEDED)


@pytest.fixture
def double() -> Painter:
    return Painter()


@pytest.fixture
def imgs(tmp_path: Path) -> Path:
    """A few pictures."""
    return pictures(tmp_path / "imgs", "a.png", "sub/b.jpg", "sub/c.png")


def pictures(root: Path, *names: str) -> Path:
    for name in names:
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(f"picture {name}".encode())
    return root


EVERYWHERE = intarsia.rectangle(0, 0, 9, 9)


OWN_MASK = intarsia.mask(None, inside="white")


def ask(where: intarsia.Region = EVERYWHERE, **settings: Any) -> folder.Ask:
    """The same edit for every picture."""
    return lambda client: client.edit_request(where, "blue", **settings)


@pytest.fixture
def run(server: str, imgs: Path) -> Run:
    """Works through the folder, with little patience."""

    def work(what: folder.Ask | None = None, **settings: Any) -> Report:
        listener = settings.pop("listener", None)
        where = Folder(**{"pictures": imgs, "out": imgs.parent / "out", **settings})
        return folder.run(where, what or ask(), server=server, listener=listener, retry=QUICK)

    return work


def written(root: Path) -> dict[str, bytes]:
    return {
        path.relative_to(root).as_posix(): path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and not path.name.startswith("report.")
    }


def told(report: Report) -> dict[str, Any]:
    return json.loads(report.path.read_text())


def states(report: Report) -> dict[str, str]:
    return {line["item"]: line["state"] for line in told(report)["items"]}


def counted(**some: int) -> dict[str, int]:
    """The counts of a report, those that are not named being 0."""
    return dict.fromkeys(("items", "succeeded", "skipped", "failed", "cancelled", "left"), 0) | some


def journal(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / "report.jsonl").read_text().splitlines()[1:]]


def jobs_of(double: Painter) -> Counter[bytes]:
    """How many different jobs were started for each picture."""
    ids = {request.job.request_id: request.job.picture for request in double.requests("EditRegion")}
    return Counter(double.stored[picture] for picture in ids.values())

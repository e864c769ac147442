"""Settings of jobs: keywords in Python, options in a shell, fields of a request.

What is left out is chosen by the server, and reported in the result's manifest.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING, TypedDict

from intarsia.v1 import editing_pb2 as v1
from intarsia.v1 import jobs_pb2, results_pb2

if TYPE_CHECKING:
    from intarsia.artifacts import Source
    from intarsia.results import ArtifactInfo

SCHEDULERS = {name.removeprefix("SCHEDULER_").lower(): value for name, value in v1.Scheduler.items() if value}
FORMATS = {name.removeprefix("FORMAT_").lower(): value for name, value in v1.Format.items() if value}
LAYOUTS = {name.removeprefix("LAYOUT_").lower(): value for name, value in v1.Layout.items() if value}
KINDS = {name.removeprefix("KIND_").lower(): value for name, value in jobs_pb2.Job.Kind.items() if value}
VIEWS = {name.removeprefix("KIND_").lower(): value for name, value in results_pb2.View.Kind.items() if value}


@dataclass(frozen=True)
class Setting:
    """One setting. `path` is its field in `PictureJob`, or in the request of its only `method`.

    `kind` is the type of its value, or its words; None if it needs code of its own.
    """

    name: str
    path: str
    kind: type | Mapping[str, int] | None
    help: str
    metavar: str | None = None
    method: str = ""  # the only rpc that has it; empty if edits and fills do

    @property
    def option(self) -> str:
        """The option of the command line: `--working-size`; one that is repeated, in the singular."""
        name = {"adapters": "adapter", "views": "view", "labels": "label"}.get(self.name, self.name)
        return f"--{name.replace('_', '-')}"


SETTINGS = (
    Setting("time_limit", "time_limit", None, "give up after running for S seconds", "S"),
    Setting("request_id", "request_id", None, "an id that was used before returns its job", "UUID"),
    Setting(
        "priority", "priority", int, "of waiting jobs greater ones run first, -100 to 100 (default: 0)", "N"
    ),
    Setting("labels", "labels", None, "a word to find the job by (repeatable)", "WORD"),
    Setting("kind", "kind", KINDS, "default: batch for clips and folders, else interactive"),
    Setting("detach", "watched_within", None, "the job goes on when the process that started it ends"),
    Setting("seed", "sampling.seed", int, "chooses the noise (default: random)", "N"),
    Setting("candidates", "candidates", int, "make N pictures, with consecutive seeds (default: 1)", "N"),
    Setting("steps", "sampling.steps", int, "denoising steps (default: the model's own)", "N"),
    Setting("guidance", "sampling.guidance.text", float, "how closely to follow the words", "G"),
    Setting(
        "picture_guidance",
        "sampling.guidance.picture",
        float,
        "how closely to follow the source picture",
        "G",
        method="EditRegion",
    ),
    Setting("scheduler", "sampling.scheduler", SCHEDULERS, "default: the model's own"),
    Setting(
        "reproducible",
        "sampling.reproducible",
        bool,
        "same seed, same bytes, whatever else the server does",
    ),
    Setting(
        "adapters",
        "adapters",
        None,
        "run the model with this LoRA or weights (repeatable)",
        "FILE[:STRENGTH]",
    ),
    Setting("context", "cut.context", float, "surroundings on every side, in sizes of the region", "C"),
    Setting("working_size", "cut.working_size", int, "longer side of the crop for the model", "PX"),
    Setting("layout", "cut.layout", LAYOUTS, "how the region is cut out for the model"),
    Setting("overlap", "cut.overlap", int, "what neighbouring tiles share", "PX"),
    Setting(
        "margin",
        "margin",
        int,
        "generated around the region, but not pasted back (default: the model's own)",
        "PX",
        method="FillRegion",
    ),
    Setting("match_colours", "match_colours", bool, "adjust the patch to the colours around the region"),
    Setting("strict", "strict", bool, "refuse regions with doubts about them, such as those in specks"),
    Setting("preview_every", "preview_every", int, "make a preview every N steps", "N"),
    Setting("format", "output.format", FORMATS, "default: by the ending of the output"),
    Setting("quality", "output.quality", int, "of lossy formats, 1 to 100 (default: 95)", "Q"),
    Setting("strip_location", "output.strip_location", bool, "leave out where the picture was taken (GPS)"),
    Setting("views", "output.views", None, "also make this view of the result (repeatable)"),
    Setting(
        "collage",
        "output.collage",
        None,
        "also make a collage: original, region in white, result; a row per candidate",
    ),
    Setting("spacing", "output.collage.spacing", None, "between the panels of the collage, in pixels", "H,V"),
    Setting(
        "captions",
        "output.collage.captions",
        None,
        "below the panels of the collage; {seed} is replaced by the row's seed",
        "WORDS",
    ),
)


class JobSettings(TypedDict, total=False):
    """The types of the settings that every job has."""

    time_limit: float | timedelta | None
    request_id: str | None
    priority: int | None
    labels: Iterable[str]
    kind: str | None
    detach: bool | None


class Settings(JobSettings, total=False):
    """The types of the settings of edits and fills as keyword arguments; `SETTINGS` says what each means."""

    seed: int | None
    candidates: int | None
    steps: int | None
    guidance: float | Mapping[str, float] | None
    picture_guidance: float | None
    scheduler: str | None
    reproducible: bool
    adapters: Mapping[str, float] | Sequence[Source | ArtifactInfo] | Source | ArtifactInfo | None
    context: float | None
    working_size: int | None
    layout: str | None
    overlap: int | None
    margin: int | None
    match_colours: bool
    strict: bool
    preview_every: int
    format: str | None
    quality: int | None
    strip_location: bool
    views: Iterable[str]
    collage: bool
    spacing: tuple[int, int] | None
    captions: Sequence[str]

"""What commands that make pictures have in common: options, following the job, writing what it made."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path
from typing import Any

from intarsia import jobs
from intarsia.artifacts import is_name
from intarsia.cli import connection, follow_job
from intarsia.cli.artifacts import to_standard_output
from intarsia.cli.output import Voice, as_dict
from intarsia.cli.usage import Usage, numbers, whole, writable, writable_or_pipe
from intarsia.client import Client
from intarsia.editing import FORMATS, LAYOUTS, SCHEDULERS, VIEWS, Request
from intarsia.folder.products import endings, products
from intarsia.v1 import jobs_pb2 as v1
from intarsia.v1.editing_pb2 import PlanRegionResponse

# Settings that are called as their options are.
_SAME = (
    "seed",
    "candidates",
    "steps",
    "guidance",
    "scheduler",
    "reproducible",
    "context",
    "working_size",
    "layout",
    "overlap",
    "match_colours",
    "quality",
    "collage",
    "captions",
    "time_limit",
    "request_id",
)
SUFFIXES = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}


def add_options(command: argparse.ArgumentParser) -> None:
    """Defaults are the server's, and reported in the result's manifest."""
    command.add_argument("-o", "--output", metavar="FILE", help="where the picture goes; - for a pipe")
    command.add_argument("--save-mask", metavar="FILE", help="write the mask that was used, as PNG")
    command.add_argument("--force", action="store_true", help="allow to overwrite the input itself")
    command.add_argument(
        "--plan", action="store_true", help="print region, crop, working size and cost, and do nothing"
    )
    follow_job.add_options(command)
    group = command.add_argument_group("how the picture is made")
    group.add_argument("--seed", type=whole, metavar="N", help="chooses the noise (default: drawn)")
    group.add_argument(
        "--candidates", type=whole, metavar="N", help="make N pictures with consecutive seeds (default: 1)"
    )
    group.add_argument("--steps", type=whole, metavar="N", help="denoising steps (default: the weights' own)")
    group.add_argument("--guidance", type=float, metavar="G", help="how strongly the words steer")
    group.add_argument("--scheduler", choices=tuple(SCHEDULERS), help="default: the weights' own")
    group.add_argument(
        "--reproducible", action="store_true", help="same seed, same bytes, whatever else the server does"
    )
    group.add_argument(
        "--adapter",
        metavar="FILE[:STRENGTH]",
        type=adapter,
        action="append",
        default=[],
        help="run the model with these LoRA or weights (repeatable)",
    )
    group.add_argument(
        "--context", type=float, metavar="C", help="surroundings shown, as a share of the region"
    )
    group.add_argument("--working-size", type=whole, metavar="PX", help="longer side the crop is worked at")
    group.add_argument("--layout", choices=tuple(LAYOUTS), help="how the region is laid out for the model")
    group.add_argument("--overlap", type=whole, metavar="PX", help="what neighbouring tiles share")
    group.add_argument(
        "--match-colours", action="store_true", help="bring the patch to the colours around the region"
    )
    group.add_argument("--preview-every", type=whole, metavar="N", help="make a preview after every N steps")
    group.add_argument("--preview", metavar="FILE", help="write the latest preview here, as JPEG")
    group = command.add_argument_group("what is written beside the picture: out_2.png, out_overlay.png, ...")
    group.add_argument("--format", choices=tuple(FORMATS), help="default: by the output's ending")
    group.add_argument("--quality", type=whole, metavar="Q", help="of lossy formats, 1 to 100 (default: 95)")
    group.add_argument(
        "--view", choices=tuple(VIEWS), action="append", default=[], help="another look at it (repeatable)"
    )
    group.add_argument(
        "--collage", action="store_true", help="original, region in white, and result; a row per candidate"
    )
    group.add_argument("--spacing", metavar="H,V", type=numbers(2, "20,20"), help="of the collage, in pixels")
    group.add_argument(
        "--captions",
        metavar="WORDS",
        nargs=3,
        default=(),
        help="below the collage's panels; {seed} stands for the row's seed",
    )


def adapter(text: str) -> tuple[str, float]:
    """A file, or an artifact's name, and how strongly it acts."""
    file, _, strength = text.rpartition(":")
    try:
        named = (file, float(strength)) if file else (text, 1.0)
    except ValueError:
        named = (text, 1.0)
    if not (is_name(named[0]) or Path(named[0]).is_file()):
        raise argparse.ArgumentTypeError(
            f"there is no file {named[0]!r}; write for example style.safetensors:0.8"
        )
    return named


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """What the options say of how the picture is made."""
    every = options.preview_every if options.preview_every is not None else 5 if options.preview else 0
    spacing = options.spacing and tuple(int(pixels) for pixels in options.spacing)
    if len(dict(options.adapter)) < len(options.adapter):
        raise Usage("--adapter: a file is named twice; name it once, with the strength it should have")
    return {
        **{name: getattr(options, name) for name in _SAME},
        "adapters": dict(options.adapter),
        "views": options.view,
        "spacing": spacing,
        "format": format_of(options),
        "preview_every": every,
    }


def run(
    options: argparse.Namespace,
    voice: Voice,
    ask: Callable[[Client, dict[str, Any]], Request],
    inputs: tuple[str, ...],
) -> int:
    """Makes one picture; `ask` makes the request of settings, `inputs` must not be overwritten."""
    targets = {} if options.plan else _targets(options, inputs)
    asked = settings(options)
    with connection.connect(options) as client:
        picture = options.picture if is_name(options.picture) else client.upload(options.picture).name
        request = ask(client, asked)
        _check_beside(request, targets, inputs, force=options.force)
        if options.plan:
            plan = client.plan_region(picture, request)
            voice.tell("plan", plan, _told(plan))
            return 0
        request.picture = picture
        finished = follow_job.carry(client, request, options, voice, targets.get("preview"))
        if finished is not None:
            save(client, finished, voice, targets.get("output"), targets.get("save_mask"))
    return 0


def save(client: Client, job: v1.Job, voice: Voice, output: Path | None, mask: Path | None) -> None:
    """Writes what a finished job made and tells about it; a job without success raises its reason."""
    result = jobs.result_of(job)
    if mask is not None:
        client.download(result.mask, to=mask)
    if output == Path("-"):
        to_standard_output(client, result.picture)
        return
    written = []
    if output is not None:
        for ending, name in products(result, with_mask=False).items():
            target = _beside(output, ending)
            client.download(name, to=target)
            written.append(str(target))
    facts = {
        **as_dict(result),
        "job": job.name,
        "output": None if output is None else str(output),
        "outputs": written,
        "mask_output": None if mask is None else str(mask),
    }
    made, spent = result.manifest, (job.end_time.ToDatetime() - job.start_time.ToDatetime()).total_seconds()
    how = f"seed {made.seed}, {made.steps} steps of {made.scheduler}, {spent:.1f} s"
    lines = [f"{output or result.picture}: {how}", *written[1:], *(f"  {note}" for note in made.notes)]
    voice.tell("result", facts, "\n".join(lines))


def format_of(options: argparse.Namespace) -> str | None:
    """The file's ending says the format, unless an option does; the two must not contradict."""
    if options.output in (None, "-"):
        return options.format
    ending = Path(options.output).suffix.lower()
    meant = SUFFIXES.get(ending)
    if meant is None and options.format is None:
        known = ", ".join(SUFFIXES)
        raise Usage(f"-o/--output: {ending!r} names no format; use one of {known}, or add --format")
    if meant is not None and options.format not in (None, meant):
        raise Usage(
            f"--format: {options.format} contradicts the output's ending {ending}; change one of them"
        )
    return options.format or meant


def _targets(options: argparse.Namespace, inputs: tuple[str, ...]) -> dict[str, Path]:
    """Files to be written, checked before any work is done."""
    if options.detach:
        follow_job.check_detached(options, "output", "save_mask", "preview")
        return {}
    if options.output is None:
        raise Usage("-o/--output: say where the picture goes, e.g. -o out.png, or add --detach or --plan")
    targets: dict[str, Path] = {}
    for name in ("output", "save_mask", "preview"):
        path = getattr(options, name)
        option = f"--{name.replace('_', '-')}"
        if name == "output":
            targets[name] = writable_or_pipe(path, machine=options.json, inputs=inputs, force=options.force)
        elif path is not None:
            targets[name] = writable(option, path, inputs=inputs, force=options.force)
            if targets[name] in [other for key, other in targets.items() if key != name]:
                raise Usage(f"{option}: {path!r} is named twice; name different files")
    return targets


def _check_beside(
    request: Request, targets: dict[str, Path], inputs: tuple[str, ...], *, force: bool
) -> None:
    """What is written beside the picture replaces neither an input nor anything else that is written."""
    if "output" not in targets:
        return
    output, others = targets["output"], [targets.get("save_mask"), targets.get("preview")]
    for ending in endings(request, with_mask=False):
        if output == Path("-"):
            raise Usage("-o/--output: several files are made, which do not fit through a pipe; name a file")
        path = writable("--output", str(_beside(output, ending)), inputs=inputs, force=force)
        if path in others:
            raise Usage(f"-o/--output: {str(path)!r} is written beside it and named twice; name another file")


def _beside(output: Path, ending: str) -> Path:
    """What a product is called. Views and collages are PNG, whatever the picture is."""
    suffix = output.suffix if ending == "" or ending[1:].isdigit() else ".png"
    return output.with_name(f"{output.stem}{ending}{suffix}")


def _told(plan: PlanRegionResponse) -> str:
    """A plan in sentences."""
    lines = []
    for part in plan.parts:
        box, crop, sheet = part.region.box, part.crop, part.sheets[0]
        about = f"{part.instruction}: " if part.instruction else ""
        tiles = f"{len(part.sheets)} tiles of" if len(part.sheets) > 1 else "worked at"
        lines.append(
            f"{about}score {part.region.score:.2f}, {part.region.area} pixels in "
            f"{box.left},{box.top},{box.right},{box.bottom}; crop "
            f"{crop.left},{crop.top},{crop.right},{crop.bottom}, {tiles} "
            f"{sheet.working_width} x {sheet.working_height}"
        )
    seconds = plan.denoising.ToTimedelta().total_seconds()
    lines.append(
        f"{plan.candidates} of {plan.steps} steps with {plan.questions} questions each: "
        f"about {seconds:.1f} s of denoising"
    )
    return "\n".join([*lines, *(f"  {note}" for note in plan.notes)])

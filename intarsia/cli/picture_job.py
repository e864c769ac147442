"""Commands that make a picture: their options, running the job, writing its files."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from intarsia import jobs
from intarsia.artifacts import is_name
from intarsia.cli import connection, follow_job, output_file
from intarsia.cli.artifacts import to_standard_output
from intarsia.cli.output import Console, as_json
from intarsia.cli.output_file import writable, writable_or_pipe
from intarsia.cli.usage import Usage, add_setting, numbers, source
from intarsia.client import Client
from intarsia.editing import PictureRequest
from intarsia.folder.products import endings, products
from intarsia.results import JobStatus, RequestPlan
from intarsia.settings import SETTINGS, VIEWS, JobSettings

SUFFIXES = {".png": "png", ".tif": "tiff", ".tiff": "tiff", ".webp": "webp", ".jpg": "jpeg", ".jpeg": "jpeg"}


def add_options(command: argparse.ArgumentParser, method: str) -> None:
    """Adds the options of the commands that make a picture; `method` is the rpc."""
    command.add_argument("-o", "--output", metavar="FILE", help="write the picture here; - for a pipe")
    command.add_argument("--save-mask", metavar="FILE", help="write the mask that was used, as PNG")
    output_file.add_options(command)
    command.add_argument("--plan", action="store_true", help="only print region, crop, working size and cost")
    follow_job.add_options(command)
    group = command.add_argument_group("how the picture is made")
    others = command.add_argument_group(
        "how it is written, and further files: out_2.png, out_overlay.png, ..."
    )
    for setting in SETTINGS:
        if setting.method in ("", method) and setting.name not in JobSettings.__annotations__:
            where = others if setting.path.startswith("output.") else group
            add_setting(where, setting.name, **_DETAILS.get(setting.name, {}))
    group.add_argument("--preview", metavar="FILE", help="write the latest preview here, as JPEG")


def adapter(text: str) -> tuple[str, float]:
    """An adapter, a file or an artifact's name, and its strength."""
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


# What argparse needs to know of settings that are more than a number or a word.
_DETAILS: Mapping[str, Mapping[str, Any]] = {
    "adapters": {"type": adapter, "action": "append", "default": []},
    "views": {"choices": tuple(VIEWS), "action": "append", "default": []},
    "collage": {"action": "store_true"},
    "spacing": {"type": numbers(2, "20,20")},
    "captions": {"nargs": 3, "default": ()},
}


def settings(options: argparse.Namespace) -> dict[str, Any]:
    """The settings that the options give."""
    if len(dict(options.adapters)) < len(options.adapters):
        raise Usage("--adapter: file given twice; name it once, with its strength")
    given = {setting.name: getattr(options, setting.name, None) for setting in SETTINGS}
    if options.preview is not None and options.preview_every is None:
        given["preview_every"] = 5
    if options.spacing:
        given["spacing"] = tuple(int(pixels) for pixels in options.spacing)
    return {**given, "adapters": dict(options.adapters), "format": format_of(options)}


def run(
    options: argparse.Namespace,
    console: Console,
    make_request: Callable[[Client, dict[str, Any]], PictureRequest],
    inputs: tuple[str, ...],
) -> int:
    """Makes one picture. `make_request` builds the request from settings; `inputs` are not overwritten."""
    targets = {} if options.plan else _targets(options, inputs)
    chosen = settings(options)
    with connection.connect(options) as client:
        picture = options.picture if is_name(options.picture) else client.upload(source(options.picture)).name
        request = make_request(client, chosen)
        _check_products(request, targets, options, inputs)
        if options.plan:
            plan = client.plan_region(picture, request)
            console.result("plan", plan, _plan_text(plan))
            return 0
        request.job.picture = picture
        finished = follow_job.run(client, request, options, console, targets.get("preview"))
        if finished is not None:
            save(client, finished, console, targets.get("output"), targets.get("save_mask"))
    return 0


def save(
    client: Client, job: JobStatus[Any], console: Console, output: Path | None, mask: Path | None
) -> None:
    """Writes the files of a finished job and prints its result; raises the error of a failed one.

    Of a cancelled job, what was kept is written first.
    """
    _write(client, job, job.result or jobs.result_of(job), console, output, mask)
    if job.error is not None:
        raise job.error


def _write(
    client: Client, job: JobStatus[Any], result: Any, console: Console, output: Path | None, mask: Path | None
) -> None:
    if mask is not None:
        client.download(result.mask, to=mask)
    if output == Path("-"):
        to_standard_output(client, result.picture)
        return
    written = []
    if output is not None:
        for ending, name in products(result, with_mask=False).items():
            target = _product_path(output, ending)
            client.download(name, to=target)
            written.append(str(target))
    facts = {
        **as_json(result),
        "job": job.name,
        "output": None if output is None else str(output),
        "outputs": written,
        "mask_output": None if mask is None else str(mask),
    }
    made, spent = result.manifest, follow_job.seconds(job)
    how = f"seed {made.seed}, {made.steps} steps of {made.scheduler}, {spent:.1f} s"
    lines = [f"{output or result.picture}: {how}", *written[1:], *(f"  note: {note}" for note in made.notes)]
    console.result("result", facts, "\n".join(lines))


def format_of(options: argparse.Namespace) -> str | None:
    """The format, by the option or the file's ending; the two must not contradict each other."""
    if options.output in (None, "-"):
        return options.format
    ending = Path(options.output).suffix.lower()
    meant = SUFFIXES.get(ending)
    if meant is None and options.format is None:
        known = ", ".join(SUFFIXES)
        raise Usage(f"-o/--output: {ending!r} is no known format; use one of {known}, or add --format")
    if meant is not None and options.format not in (None, meant):
        raise Usage(
            f"--format: {options.format} contradicts the output's ending {ending}; change one of them"
        )
    return options.format or meant


def _targets(options: argparse.Namespace, inputs: tuple[str, ...]) -> dict[str, Path]:
    """The files to write, checked before any work is done."""
    if options.detach:
        follow_job.check_detached(options, "output", "save_mask", "preview")
        return {}
    if options.output is None:
        raise Usage("-o/--output: name the file for the picture, e.g. -o out.png, or add --detach or --plan")
    targets: dict[str, Path] = {}
    for name in ("output", "save_mask", "preview"):
        path = getattr(options, name)
        option = f"--{name.replace('_', '-')}"
        if name == "output":
            targets[name] = writable_or_pipe(path, options, inputs=inputs)
        elif path is not None:
            targets[name] = writable(option, path, options, inputs=inputs)
            if targets[name] in [other for key, other in targets.items() if key != name]:
                raise Usage(f"{option}: {path!r} named twice; name different files")
    return targets


def _check_products(
    request: PictureRequest, targets: dict[str, Path], options: argparse.Namespace, inputs: tuple[str, ...]
) -> None:
    """Raises `Usage` if a further file would replace an input or another file that is written."""
    if "output" not in targets:
        return
    output, others = targets["output"], [targets.get("save_mask"), targets.get("preview")]
    for ending in endings(request, with_mask=False):
        if output == Path("-"):
            raise Usage("-o/--output: several files do not fit through a pipe; name a file")
        path = writable("--output", str(_product_path(output, ending)), options, inputs=inputs)
        if path in others:
            raise Usage(
                f"-o/--output: {str(path)!r} is one of the further files and named twice; name another file"
            )


def _product_path(output: Path, ending: str) -> Path:
    """The file of a product. Views and collages are PNG, whatever the picture is."""
    suffix = output.suffix if ending == "" or ending[1:].isdigit() else ".png"
    return output.with_name(f"{output.stem}{ending}{suffix}")


def _plan_text(plan: RequestPlan[Any]) -> str:
    """A plan as text."""
    lines = []
    for part in plan.parts:
        box, crop, sheet = part.region.box, part.crop, part.sheets[0]
        words = f"{part.instruction}: " if part.instruction else ""
        tiles = f"{len(part.sheets)} tiles of" if len(part.sheets) > 1 else "worked at"
        lines.append(
            f"{words}score {part.region.score:.2f}, {part.region.area} pixels in "
            f"{box.left},{box.top},{box.right},{box.bottom}, grown by {part.grow:.3g}, feather "
            f"{part.feather:.3g}; crop "
            f"{crop.left},{crop.top},{crop.right},{crop.bottom}, {tiles} "
            f"{sheet.working_width} x {sheet.working_height}"
        )
    seconds = plan.denoising.total_seconds()
    lines.append(
        f"{plan.candidates} of {plan.steps} steps with {plan.evaluations} network evaluations each: "
        f"about {seconds:.1f} s of denoising"
    )
    return "\n".join([*lines, *(f"  note: {note}" for note in plan.notes)])

"""What does the service cost? One warm edit through gRPC, compared with the plain diffusers pipeline.

    python -m benchmarks.service_cost --sides 128 256

Both use the same weights, threads, size, steps and seed, and take turns; a pair's ratio is the service's
time over the pipeline's. The service's time runs from the call to the last byte of the edited picture.
Regions and instructions differ from edit to edit, so that no cache helps.
"""

from __future__ import annotations

import sys
import time
from typing import Any

import diffusers
import torch
from PIL import Image

import intarsia
from benchmarks import workload
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, median, milliseconds, percentile, verdicts
from benchmarks.stack import stack
from intarsia.results import ResultManifest
from services.bundles.bundle import Bundle
from services.denoising.schedules import SCHEDULES, name_of

BAR = 1.25
WIDTH, HEIGHT = 480, 320
GUIDANCE, PICTURE_GUIDANCE = 7.5, 1.5


def pipeline_of(bundle: Bundle) -> Any:
    """diffusers' own pipeline, from the same bundle."""
    config = bundle.scheduler_config()
    kind: Any = SCHEDULES[name_of(config)].scheduler
    made = diffusers.StableDiffusionInstructPix2PixPipeline(
        **{name: bundle.network(name) for name in ("vae", "text_encoder", "unet")},
        tokenizer=bundle.tokenizer(),
        scheduler=kind.from_config(config),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    made.set_progress_bar_config(disable=True)
    return made


def time_pipeline(pipeline: Any, picture: Image.Image, edit: workload.RegionEdit, steps: int) -> float:
    """Seconds of one edit of the crop, without the service."""
    started = time.perf_counter()
    crop = picture.crop(edit.box)
    pipeline(
        edit.instruction,
        image=crop,
        num_inference_steps=steps,
        guidance_scale=GUIDANCE,
        image_guidance_scale=PICTURE_GUIDANCE,
        generator=torch.Generator().manual_seed(edit.seed),
    )
    return time.perf_counter() - started


def time_service(
    client: intarsia.Client, picture: str, edit: workload.RegionEdit, steps: int
) -> tuple[float, ResultManifest]:
    """Seconds of one edit through the whole platform, and its manifest."""
    started = time.perf_counter()
    job = client.edit_region(
        picture,
        intarsia.rectangle(*edit.box).feathered(0),
        edit.instruction,
        seed=edit.seed,
        steps=steps,
        guidance=GUIDANCE,
        picture_guidance=PICTURE_GUIDANCE,
        context=0,
        working_size=edit.side,
    )
    result = job.result(timeout=300)
    client.read(result.picture)
    return time.perf_counter() - started, result.manifest


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--sides", type=int, nargs="+", default=[128, 256], help="of the region, in pixels")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--rounds", type=int, default=9)
    options = parse(parser, argv)
    torch.set_num_threads(options.threads)
    bundle = Bundle.open(options.weights / "ip2p")
    pipeline = pipeline_of(bundle)
    origin = Origin.here(
        argv, module="benchmarks.service_cost", threads=options.threads, weights=bundle.digest
    )
    report = BenchmarkReport(
        "service_cost", "One warm edit: the service's time over the plain pipeline's", origin
    )
    pixels = workload.picture(WIDTH, HEIGHT, options.seed)
    with stack(options, "service_cost") as running, intarsia.Client(running.address) as client:
        name = client.upload(workload.png(pixels)).name
        picture = Image.fromarray(pixels)
        for side in options.sides:
            edits = workload.edits(WIDTH, HEIGHT, (side,), options.seed)
            warm = next(edits)
            time_service(client, name, warm, options.steps)
            time_pipeline(pipeline, picture, warm, options.steps)
            ours, theirs, stages = [], [], []
            for number, edit in zip(range(options.rounds), edits):  # noqa: B905 - edits never end
                if number % 2:
                    theirs.append(time_pipeline(pipeline, picture, edit, options.steps))
                took, manifest = time_service(client, name, edit, options.steps)
                if not number % 2:
                    theirs.append(time_pipeline(pipeline, picture, edit, options.steps))
                ours.append(took)
                spent = {stage: spent.total_seconds() for stage, spent in manifest.stage_times.items()}
                stages.append({**spent, "around": took - sum(spent.values())})
            ratios = [a / b for a, b in zip(ours, theirs, strict=True)]
            ratio = median(ratios)
            report.add(
                side=side,
                steps=options.steps,
                rounds=options.rounds,
                ratio_p50=ratio,
                ratio_p10=percentile(ratios, 0.1),
                ratio_p90=percentile(ratios, 0.9),
                bar=BAR,
                met=ratio <= BAR,
                **milliseconds(ours, 0.5, name="service"),
                **milliseconds(theirs, 0.5, name="pipeline"),
                **{
                    f"{stage}_p50_ms": round(median([spent[stage] for spent in stages]) * 1e3, 1)
                    for stage in stages[0]
                },
            )
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


if __name__ == "__main__":
    sys.exit(main())

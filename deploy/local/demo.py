"""Shows what the platform does: selects a region by click, edits it by instruction, writes what it made.

python -m deploy.local.demo --out demo
"""

from __future__ import annotations

import argparse
import io
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from PIL import Image
from tqdm import tqdm

import intarsia
from deploy.local.probe import NotAlive
from deploy.local.sample import CIRCLE, sample
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import CannotStart
from deploy.local.weights import default_weights
from intarsia.v1 import jobs_pb2

INSTRUCTION = "make the circle blue"


def main(argv: Sequence[str] | None = None) -> int:
    """Exit code 0 if everything worked and the pixels outside the region kept their values."""
    parser = argparse.ArgumentParser(
        description="Edits a region of a sample picture through the whole stack."
    )
    parser.add_argument("--out", type=Path, default=Path("demo"), help="where the pictures go")
    parser.add_argument("--data", type=Path, default=Path("var/demo"), help="folder for artifacts and logs")
    parser.add_argument(
        "--weights", type=Path, help="folder of bundles (default: INTARSIA_WEIGHTS, else the starter weights)"
    )
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args(argv)
    settings = StackSettings(data=options.data, weights=options.weights or default_weights(options.data))
    try:
        stack = Stack(settings)
        with said(f"starting Triton with {len(stack.models)} models, and the orchestrator"):
            stack.start()
    except (CannotStart, NotAlive) as fault:
        print(fault, file=sys.stderr)
        return 1
    try:
        with intarsia.Client(stack.address) as client:
            return show(client, options.out, options.seed)
    finally:
        with said("stopping everything"):
            stack.stop()


def show(client: intarsia.Client, out: Path, seed: int) -> int:
    """One click, one instruction, four files."""
    out.mkdir(parents=True, exist_ok=True)
    before = sample()
    Image.fromarray(before).save(out / "before.png")
    # A little beyond the outline that was found, so that none of the old colour is left along it.
    where = intarsia.click(CIRCLE.x, CIRCLE.y).grown(3).feathered(3)
    with said(f"selecting the region at ({CIRCLE.x:.0f}, {CIRCLE.y:.0f})"):
        found = client.segment_region(out / "before.png", where).region
    client.download(found.mask, to=out / "mask.png")
    print(f"  {found.area} pixels, score {found.score:.2f}")

    job = client.edit_region(out / "before.png", where, INSTRUCTION, seed=seed)
    follow(job, INSTRUCTION)
    result = job.result()
    client.download(result.picture, to=out / "after.png")
    for spent in result.manifest.stage_times:
        print(f"  {spent.stage:8} {spent.duration.ToMilliseconds():6} ms")

    mask = np.asarray(Image.open(io.BytesIO(client.read(result.mask))))
    after = np.asarray(Image.open(out / "after.png"))
    moved = int((before != after).any(axis=2)[mask == 0].sum())
    sheet = [before, np.repeat(mask[..., None], 3, axis=2), after]
    Image.fromarray(np.concatenate(sheet, axis=1)).save(out / "sheet.png")
    print(f"pixels changed outside the region: {moved}")
    print(f"look at {out}/before.png, mask.png, after.png, or all three in {out}/sheet.png")
    return 0 if moved == 0 else 1


def follow(job: intarsia.Job, what: str) -> None:
    """A bar over the denoising steps."""
    with tqdm(desc=what, unit="step", file=sys.stderr) as bar:
        for state in job.watch(cancel_on_disconnect=True):
            progress = state.progress
            bar.set_postfix_str(progress.stage or jobs_pb2.Job.State.Name(state.state))
            if progress.steps:
                bar.total = progress.steps
                bar.update(progress.step - bar.n)
            if state.state == jobs_pb2.Job.STATE_SUCCEEDED and bar.total:
                bar.update(bar.total - bar.n)


@contextmanager
def said(what: str):
    """Prints what is being done and how long it took."""
    started = time.perf_counter()
    print(f"{what} ...", flush=True)
    yield
    print(f"  {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

"""Shows what the platform does: finds a thing by words, edits it by instruction, makes another one go, and
follows a third through a clip.

python -m deploy.local.demo --out demo
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from contextlib import contextmanager
from pathlib import Path

import av
import numpy as np
from PIL import Image
from tqdm import tqdm

import intarsia
from deploy.local.probe import ProbeError
from deploy.local.sample import CIRCLE, FRAMES, HEART, STAR, Thing, sample, sample_clip
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import StartError
from deploy.local.weights import default_weights
from intarsia import errors
from intarsia.files import ResultFile
from intarsia.results import FoundRegion, JobState

INSTRUCTION = "make the circle blue"
# Of the clip, on the sheet: before the heart goes behind the square, and after.
SHEET_FRAMES = (0, 7, 12, 18, 24, 35)


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
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args(argv)
    settings = StackSettings(data=options.data, weights=options.weights or default_weights(options.data))
    try:
        stack = Stack(settings)
        with timed(f"starting Triton with {len(stack.models)} models, and the orchestrator"):
            stack.start()
    except (StartError, ProbeError) as fault:
        print(fault, file=sys.stderr)
        return 1
    try:
        with intarsia.Client(stack.address) as client:
            return show(client, options.out, options.seed) or show_clip(client, options.out)
    except errors.IntarsiaError as fault:
        print(fault, file=sys.stderr)
        return 1
    finally:
        with timed("stopping everything"):
            stack.stop()


def show(client: intarsia.Client, out: Path, seed: int) -> int:
    """Words, an instruction, a removal; a picture for every step, and all of them side by side."""
    out.mkdir(parents=True, exist_ok=True)
    before = sample()
    Image.fromarray(before).save(out / "before.png")

    circle, found = find(client, out / "before.png", CIRCLE)
    found.mask.save(out / "mask.png")
    job = client.edit_region(out / "before.png", circle, INSTRUCTION, seed=seed)
    follow(job, INSTRUCTION)
    edited = job.result()
    edited.picture.save(out / "edited.png")
    edited.mask.save(out / "edited_mask.png")
    for stage, spent in edited.manifest.stage_times.items():
        print(f"  {stage:8} {1000 * spent.total_seconds():6.0f} ms")

    star, hole = find(client, out / "before.png", STAR)
    job = client.remove_region(edited.picture, star, seed=seed)
    follow(job, f"remove the {STAR.words}")
    removed = job.result()
    removed.picture.save(out / "after.png")
    removed.mask.save(out / "after_mask.png")

    masks = [each.mask.array() for each in (found, hole)]
    after = np.asarray(Image.open(out / "after.png"))
    # Both regions as they were worked on, a little larger than they were found.
    inside = (edited.mask.array() > 0) | (removed.mask.array() > 0)
    moved = int((before != after).any(axis=2)[~inside].sum())
    shown = np.repeat(np.maximum(*masks)[..., None], 3, axis=2)
    Image.fromarray(np.concatenate([before, shown, after], axis=1)).save(out / "sheet.png")
    print(f"pixels changed outside the regions: {moved}")
    print(f"look at {out}/before.png, mask.png, edited.png, after.png, or at {out}/sheet.png")
    return 0 if moved == 0 else 1


def show_clip(client: intarsia.Client, out: Path) -> int:
    """A thing is pointed at in the first frame of a clip and found in the others."""
    sample_clip(out / "clip.mp4")
    job = client.track_region(out / "clip.mp4", intarsia.click(HEART.x, HEART.y), overlay=True)
    follow(job, f"follow the {HEART.words}", "frame")
    tracked = job.result()
    tracked.masks.save(out / "masks.mkv")
    assert tracked.overlay is not None  # it was asked for
    tracked.overlay.save(out / "followed.mp4")
    rows = [json.loads(line) for line in tracked.track.bytes().splitlines()]
    hidden = [row["frame"] for row in rows if row["box"] is None]
    print(f"  seen in {tracked.seen} of {tracked.frames} frames; not in {hidden}")
    with av.open(str(out / "followed.mp4"), "r") as clip:
        frames = [frame.to_ndarray(format="rgb24") for frame in clip.decode(video=0)]
    shown = [frames[number] for number in SHEET_FRAMES]
    Image.fromarray(np.vstack([np.hstack(shown[:3]), np.hstack(shown[3:])])).save(out / "followed.png")
    print(f"look at {out}/followed.mp4, or at {out}/followed.png")
    return 0 if tracked.frames == FRAMES else 1


def find(
    client: intarsia.Client, file: Path, thing: Thing
) -> tuple[intarsia.Region, FoundRegion[ResultFile]]:
    """A thing by its name, or where the weights do not know it by a click."""
    where = intarsia.words(f"the {thing.words}")
    with timed(f"looking for the {thing.words}"):
        try:
            found = client.segment_region(file, where).region
        except errors.IntarsiaError as error:
            print(f"  {error}")
            where = intarsia.click(thing.x, thing.y)
            found = client.segment_region(file, where).region
    print(f"  {found.area} pixels, score {found.score:.2f}")
    return where, found


def follow(job: intarsia.Job, what: str, unit: str = "step") -> None:
    """A bar over the steps of a job."""
    with tqdm(desc=what, unit=unit, file=sys.stderr) as bar:
        for state in job.watch(cancel_on_disconnect=True):
            progress = state.progress
            bar.set_postfix_str(progress.stage or state.state.value)
            if progress.steps:
                bar.total = progress.steps
                bar.update(progress.step - bar.n)
            if state.state == JobState.SUCCEEDED and bar.total:
                bar.update(bar.total - bar.n)


@contextmanager
def timed(what: str):
    """Prints what is being done and how long it took."""
    started = time.perf_counter()
    print(f"{what} ...", flush=True)
    yield
    print(f"  {time.perf_counter() - started:.1f} s", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())

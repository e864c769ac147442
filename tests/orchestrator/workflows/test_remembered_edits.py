"""Edits that are killed and run again: what was made stays, what was not is made with the same bytes."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from intarsia.errors import Busy, Cancelled, ModelDown
from orchestrator.stages.trajectory_memory import CheckpointLimits
from orchestrator.workflows.edit_region import Edit, ResolvedEdit, edit_region
from orchestrator.workflows.results import EditResult
from store.disk import DiskStore
from tests.orchestrator.conftest import png
from tests.orchestrator.doubles.triton import Triton
from tests.orchestrator.doubles.walker import Walker
from tests.orchestrator.stages.memory import DictMemory
from tests.orchestrator.workflows.runs import CLICK, kill, resolved_edit, stages_of

# By the costs of the double every stage is long, and five steps take as long as the time between checkpoints.
EVERY = 5
LONG = CheckpointLimits(after=1e-6, every=EVERY * 0.003)
SHORT = CheckpointLimits()


@pytest.fixture
def walker(triton: Triton) -> Walker:
    triton.ip2p_unet = walker = Walker()
    return walker


async def run(
    triton: Triton,
    folder: Path,
    resolved: ResolvedEdit,
    memory: DictMemory,
    limits: CheckpointLimits = LONG,
) -> EditResult:
    async with stages_of(triton, folder, memory, limits) as at:
        return await edit_region(resolved, at)


async def killed_at(
    step: int, triton: Triton, folder: Path, resolved: ResolvedEdit, memory: DictMemory
) -> None:
    """Runs until so many steps are done, and ends before the next; what they led to is stored by then."""
    walker, changed = triton.ip2p_unet, asyncio.Event()
    walker.hold_at = step
    walker.held.clear()
    async with stages_of(triton, folder, memory, LONG, changed.set) as at:
        task = asyncio.ensure_future(edit_region(resolved, at))
        await walker.held.wait()
        while at.run.progress.step < step and walker.resumed[-1] < step:
            changed.clear()
            await changed.wait()
        await kill(task)
    walker.hold_at = None


def pictures(result: EditResult) -> list[str]:
    """The digests of everything that was made, and so of all bytes."""
    return [result.mask, *(candidate.picture for candidate in result.candidates)]


def kept(memory: DictMemory) -> list[str]:
    """The keys that are remembered, without the composition that each begins with."""
    return [key.partition(" ")[2] for key in memory.values]


def lose(memory: DictMemory, *keys: str) -> None:
    """Forgets what `kept` returns so."""
    lost = [key for key in memory.values if key.partition(" ")[2] in keys]
    assert len(lost) == len(keys)
    for key in lost:
        del memory.values[key]


async def test_a_walk_of_sixty_steps_that_is_killed_twenty_times(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    """At most one checkpoint's distance is redone each time, and the bytes are those of a quiet run."""
    resolved = await resolved_edit(triton, tmp_path, png(picture), steps=60)
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    assert walker.steps == 60
    memory, drawn, done = DictMemory(), random.Random(11), 0
    for _ in range(20):
        before = walker.steps
        # At its last point or later: anywhere between no progress at all and three checkpoints further.
        at = min(59, done + drawn.randrange(3 * EVERY))
        await killed_at(at, triton, tmp_path, resolved, memory)
        assert walker.resumed[-1] == done
        assert walker.steps - before == at - done
        done = at - at % EVERY
    before = walker.steps
    result = await run(triton, tmp_path, resolved, memory)
    assert walker.steps - before == 60 - done <= EVERY
    assert pictures(result) == pictures(undisturbed)
    assert kept(memory) == ["candidates 0 to 0"]


async def test_a_walk_goes_on_in_the_middle_when_its_model_went_down(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), steps=60)
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    memory, walker.breaks_at = DictMemory(), [3, 7, 7, 13, 22, 22, 22, 31, 48, 59]
    walker.resumed.clear()
    result = await run(triton, tmp_path, resolved, memory)
    assert walker.resumed == [0, 0, 5, 5, 10, 20, 20, 20, 30, 45, 55]
    assert pictures(result) == pictures(undisturbed)


async def test_a_request_that_always_breaks_its_model_fails(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), steps=20)
    walker.breaks_at = [8] * 20
    with pytest.raises(ModelDown, match="ip2p_unet"):
        await run(triton, tmp_path, resolved, DictMemory())
    assert walker.resumed == [0, 5, 5, 5], "its stage is started again three times"


class DyingMemory(DictMemory):
    """A memory whose process dies at its n-th write, before or after the disk has it."""

    def __init__(self, before: DictMemory, *, write: int, after: bool) -> None:
        super().__init__()
        self.values, self.references = before.values, before.references
        self._left, self._after = write, after

    async def remember(self, key: str, value: str, references: Sequence[str]) -> None:
        self._left -= 1
        if self._left < 0 and not self._after:
            raise asyncio.CancelledError
        await super().remember(key, value, references)
        if self._left < 0:
            raise asyncio.CancelledError


@pytest.mark.parametrize("after", [False, True])
async def test_a_run_may_die_at_any_of_its_writes(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray, after: bool
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), steps=20)
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    deaths = 0
    while True:
        memory = DictMemory()
        dying = asyncio.ensure_future(
            run(triton, tmp_path, resolved, DyingMemory(memory, write=deaths, after=after))
        )
        await asyncio.wait({dying})
        if not dying.cancelled():
            break
        deaths += 1
        assert pictures(await run(triton, tmp_path, resolved, memory)) == pictures(undisturbed)
    # Three checkpoints, the latents, the candidate.
    assert deaths == 5 and pictures(dying.result()) == pictures(undisturbed)


async def test_short_stages_keep_no_checkpoints(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    memory, resolved = DictMemory(), await resolved_edit(triton, tmp_path, png(picture), steps=60)
    await run(triton, tmp_path, resolved, memory, SHORT)
    assert "checkpoint_every" not in walker.requests[-1]
    assert (memory.commits, kept(memory)) == (1, ["candidates 0 to 0"])


@pytest.mark.parametrize("loss", ["another request", "damaged", "gone"])
async def test_without_a_checkpoint_that_fits_the_stage_begins_anew(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray, loss: str
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), steps=20)
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    memory = DictMemory()
    await killed_at(12, triton, tmp_path, resolved, memory)
    (key,) = memory.values
    (name,) = memory.references[key]
    if loss == "another request":
        other = await DiskStore(tmp_path).put_bytes(bytes(4000), "application/octet-stream")
        memory.values[key] = memory.values[key].replace(name, other.name)
    else:
        digest = name.removeprefix("artifacts/")
        (file,) = (path for path in tmp_path.rglob(digest) if path.is_file())
        file.write_bytes(b"damaged") if loss == "damaged" else file.unlink()
    result = await run(triton, tmp_path, resolved, memory)
    assert walker.resumed[-1] == 0 and pictures(result) == pictures(undisturbed)
    assert kept(memory) == ["candidates 0 to 0"]


async def test_a_model_without_checkpoints_does_without(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    walker.takes_checkpoints = False
    resolved = await resolved_edit(triton, tmp_path, png(picture))
    result = await run(triton, tmp_path, resolved, DictMemory())
    assert len(result.candidates) == 1 and walker.resumed == [0]


async def test_a_full_disk_costs_a_checkpoint_and_not_the_job(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), steps=20)
    put = DiskStore.put_bytes

    async def full(self: DiskStore, data: bytes, media_type: str, **options: Any) -> object:
        if media_type == "application/octet-stream":
            raise Busy("the artifact store is full")
        return await put(self, data, media_type, **options)

    monkeypatch.setattr(DiskStore, "put_bytes", full)
    memory = DictMemory()
    result = await run(triton, tmp_path, resolved, memory)
    assert len(result.candidates) == 1 and kept(memory) == ["candidates 0 to 0"]


async def test_sheets_of_a_long_candidate_are_not_denoised_again(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    edits = tuple(Edit(CLICK, words) for words in ("make it blue", "make it round", "make it old"))
    resolved = await resolved_edit(triton, tmp_path, png(picture), edits=edits)
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    assert walker.steps == 30
    memory = DictMemory()
    task = asyncio.ensure_future(run(triton, tmp_path, resolved, memory))
    async with walker.requested:
        await walker.requested.wait_for(lambda: len(walker.requests) == 5)  # the second sheet of this run
    await kill(task)
    before = len(walker.requests)
    assert pictures(await run(triton, tmp_path, resolved, memory)) == pictures(undisturbed)
    assert len(walker.requests) - before == 2
    assert kept(memory) == ["candidates 0 to 0"]


async def test_candidates_that_were_made_are_not_made_again(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), candidates=3)
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    memory = DictMemory()
    await run(triton, tmp_path, resolved, memory, SHORT)
    lose(memory, "candidates 1 to 1")
    before = len(walker.requests)
    again = await run(triton, tmp_path, resolved, memory, SHORT)
    assert pictures(again) == pictures(undisturbed)
    assert [int(sent["seed"][0]) for sent in walker.requests[before:]] == [8]
    assert [candidate.seed for candidate in again.candidates] == [7, 8, 9]


@pytest.mark.parametrize("finished", [False, True])
async def test_nothing_that_was_made_of_other_regions_is_laid_into_these(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray, finished: bool
) -> None:
    """A model may find another mask when the job runs again, by other arithmetic."""
    edits = (Edit(CLICK, "make it blue"), Edit(CLICK, "make it round"))
    resolved = await resolved_edit(triton, tmp_path, png(picture), edits=edits)
    memory = DictMemory()
    if finished:
        await run(triton, tmp_path, resolved, memory)
    else:
        before = len(walker.requests)
        task = asyncio.ensure_future(run(triton, tmp_path, resolved, memory))
        async with walker.requested:
            await walker.requested.wait_for(lambda: len(walker.requests) == before + 2)
        await kill(task)
    assert memory.values
    triton.sam.radius = 1 / 7
    undisturbed = await run(triton, tmp_path, resolved, DictMemory(), SHORT)
    before = len(walker.requests)
    again = await run(triton, tmp_path, resolved, memory)
    assert pictures(again) == pictures(undisturbed) and len(walker.requests) - before == 2


@pytest.mark.parametrize("candidates", [1, 2, 3, 4, 7, 16])
async def test_a_job_commits_at_most_three_times_for_its_candidates(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray, candidates: int
) -> None:
    memory = DictMemory()
    resolved = await resolved_edit(triton, tmp_path, png(picture), candidates=candidates, steps=2)
    result = await run(triton, tmp_path, resolved, memory, SHORT)
    assert len(result.candidates) == candidates and memory.commits <= min(candidates, 3)
    requests = len(walker.requests)
    assert pictures(await run(triton, tmp_path, resolved, memory, SHORT)) == pictures(result)
    assert len(walker.requests) == requests


async def test_progress_counts_what_was_made_before(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    memory = DictMemory()
    resolved = await resolved_edit(triton, tmp_path, png(picture), candidates=3)
    async with stages_of(triton, tmp_path, memory, SHORT) as at:
        await edit_region(resolved, at)
        assert at.run.progress.fraction == pytest.approx(1.0)
    lose(memory, "candidates 2 to 2")
    walker.hold_at = 0
    async with stages_of(triton, tmp_path, memory, SHORT) as at:
        work = asyncio.ensure_future(edit_region(resolved, at))
        await walker.held.wait()
        assert at.run.progress.fraction == pytest.approx(0.08 + 0.92 * 2 / 3 + 0.06 / 3)
        walker.go_on.set()
        await work
        assert at.run.progress.fraction == pytest.approx(1.0)


async def test_a_run_that_is_told_it_has_enough_returns_the_candidates_made_so_far(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture), candidates=3)
    memory = DictMemory()
    undisturbed = await run(triton, tmp_path, resolved, memory, SHORT)
    lose(memory, "candidates 0 to 0", "candidates 2 to 2")
    walker.hold_at = 4
    async with stages_of(triton, tmp_path, memory, SHORT) as at:
        work = asyncio.ensure_future(edit_region(resolved, at))
        await walker.held.wait()
        at.run.enough.set()
        result = await work
        await walker.left.wait()
    assert result.candidates == undisturbed.candidates[1:2]
    assert result.picture == undisturbed.candidates[1].picture
    assert "1 of 3 candidates were made" in result.manifest.notes


@pytest.mark.parametrize("already", [False, True])
async def test_a_run_that_has_enough_of_nothing_is_cancelled(
    triton: Triton, walker: Walker, tmp_path: Path, picture: np.ndarray, already: bool
) -> None:
    resolved = await resolved_edit(triton, tmp_path, png(picture))
    walker.hold_at = 4
    async with stages_of(triton, tmp_path, DictMemory(), SHORT) as at:
        if already:
            at.run.enough.set()
        work = asyncio.ensure_future(edit_region(resolved, at))
        if not already:
            await walker.held.wait()
            at.run.enough.set()
        with pytest.raises(Cancelled, match="before the first candidate"):
            await work
    assert len(walker.requests) == (not already)

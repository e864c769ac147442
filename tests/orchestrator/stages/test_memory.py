"""What a job remembers of its stages, and what it makes again."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from pathlib import Path

import pytest

from intarsia.errors import InternalError
from orchestrator.stages.memory import LARGEST, NoMemory, Recollection, artifacts_in
from store.artifact import ArtifactStore, name_of
from store.disk import DiskStore
from tests.orchestrator.stages.memory import DictMemory

NAME = name_of(b"picture")
OTHER = "artifacts/" + "5a" * 32


@dataclass(frozen=True)
class Piece:
    picture: str
    seed: int
    notes: tuple[str, ...] = ()


class Maker:
    """Makes pieces and counts them; may be held."""

    def __init__(self) -> None:
        self.made = 0
        self.go_on = asyncio.Event()
        self.go_on.set()

    async def __call__(self) -> Piece:
        await self.go_on.wait()
        self.made += 1
        return Piece(NAME, 7, (f"it is the {self.made}th",))


@pytest.fixture
async def store(tmp_path: Path) -> ArtifactStore:
    """A store that has NAME."""
    store = DiskStore(tmp_path)
    await store.put_bytes(b"picture", "image/png")
    return store


async def test_what_is_remembered_is_not_made_again_by_a_later_run(store: ArtifactStore) -> None:
    memory, make = DictMemory(), Maker()
    first = await Recollection(memory, store).once("piece 0", make, Piece)
    again = await Recollection(memory, store).once("piece 0", make, Piece)
    assert again == first and make.made == 1
    assert memory.references == {"piece 0": (NAME,)}


async def test_keys_are_made_in_any_order_and_at_the_same_time(store: ArtifactStore) -> None:
    memory, first, second = DictMemory(), Maker(), Maker()
    first.go_on.clear()
    run = Recollection(memory, store)
    slow = asyncio.ensure_future(run.once("piece 0", first, Piece))
    await run.once("piece 1", second, Piece)
    assert list(memory.values) == ["piece 1"]
    first.go_on.set()
    await slow
    assert sorted(memory.values) == ["piece 0", "piece 1"]


async def test_a_key_that_is_asked_for_twice_at_a_time_is_made_once(store: ArtifactStore) -> None:
    make, run = Maker(), Recollection(DictMemory(), store)
    one, other = await asyncio.gather(run.once("piece", make, Piece), run.once("piece", make, Piece))
    assert one == other and make.made == 1


async def test_a_stage_that_was_not_finished_is_made_again(store: ArtifactStore) -> None:
    memory, make = DictMemory(), Maker()
    make.go_on.clear()
    killed = asyncio.ensure_future(Recollection(memory, store).once("piece", make, Piece))
    await asyncio.sleep(0)
    killed.cancel()
    await asyncio.wait({killed})
    assert not memory.values
    make.go_on.set()
    assert (await Recollection(memory, store).once("piece", make, Piece)).seed == 7


async def test_a_run_without_a_job_remembers_nothing(store: ArtifactStore) -> None:
    make, run = Maker(), Recollection(NoMemory(), store)
    await run.once("piece", make, Piece)
    await run.once("piece", make, Piece)
    assert make.made == 2


async def test_a_value_that_is_too_large_is_refused_with_its_key(store: ArtifactStore) -> None:
    memory = DictMemory()
    with pytest.raises(InternalError, match=r"'piece 3'.*artifact"):
        await Recollection(memory, store).remember("piece 3", Piece(NAME, 7, ("x" * LARGEST,)))
    assert not memory.values


async def test_pixels_are_not_remembered(store: ArtifactStore) -> None:
    with pytest.raises(TypeError, match="bytes"):
        await Recollection(DictMemory(), store).remember("piece", Piece(b"\x00", 7))  # type: ignore[arg-type]


@pytest.mark.parametrize("damaged", ['{"seed": 7}', '{"picture": 1, "seed": 7}', "no JSON"])
async def test_what_cannot_be_read_any_more_is_made_again(damaged: str, store: ArtifactStore) -> None:
    memory, make = DictMemory(), Maker()
    memory.values["piece"] = damaged
    assert (await Recollection(memory, store).once("piece", make, Piece)).picture == NAME
    assert make.made == 1


async def test_what_names_an_artifact_that_is_gone_is_made_again(store: ArtifactStore) -> None:
    memory, make = DictMemory(), Maker()
    run = Recollection(memory, store)
    await run.once("piece", make, Piece)

    async def nothing(names: object) -> tuple[str, ...]:
        return ()

    await store.delete([await store.describe(NAME)], needed=nothing)
    await run.once("piece", make, Piece)
    assert make.made == 2


def test_artifacts_are_found_wherever_a_value_names_them() -> None:
    plain = {"b": [OTHER, {"c": NAME}], NAME: 3, "d": ["artifacts/no", "x" + NAME, None, 1.5]}
    assert artifacts_in(plain) == (NAME, OTHER)

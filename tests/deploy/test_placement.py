"""Models are placed by memory: each at least once, copies where they fit, never more than is free."""

from __future__ import annotations

from itertools import product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deploy.local.placement import SERVER_BYTES, Gpu, GpuModels, ModelMemory, PlacementError, place

GIB = 1 << 30


def gpu(index: int, gib: float) -> Gpu:
    return Gpu(index, "pretend", int(gib * GIB), str(index))


def model(name: str, gib: float, **more: bool) -> ModelMemory:
    return ModelMemory(name, int(gib * GIB), **more)


FULL_SIZE = (
    model("ip2p_unet", 3.7, step_loop=True),
    model("sam", 2.6),
    model("sd2_inpaint", 3.7, step_loop=True, optional=True),
    model("text_encoder", 1.6),
    model("vae", 1.8),
)
GPUS = st.lists(st.integers(0, 12), min_size=1, max_size=4).map(
    lambda sizes: [gpu(index, gib) for index, gib in enumerate(sizes)]
)
MODELS = st.lists(st.tuples(st.integers(1, 6), st.booleans()), min_size=1, max_size=5).map(
    lambda found: [model(f"m{rank}", gib, step_loop=loop) for rank, (gib, loop) in enumerate(found)]
)


def names(placed: GpuModels) -> list[str]:
    return [one.name for one in placed.models]


def room(placed: GpuModels) -> int:
    return placed.gpu.free - SERVER_BYTES - sum(one.bytes for one in placed.models)


def possible(gpus: list[Gpu], models: list[ModelMemory]) -> bool:
    """Whether every model can be somewhere, found by trying every way."""
    for ways in product(range(len(gpus)), repeat=len(models)):
        rooms = [one.free - SERVER_BYTES for one in gpus]
        for one, index in zip(models, ways, strict=True):
            rooms[index] -= one.bytes
        if all(left >= 0 for index, left in enumerate(rooms) if index in ways):
            return True
    return False


@settings(max_examples=150, deadline=None)
@given(GPUS, MODELS)
def test_every_model_has_a_place_where_there_is_one_and_no_gpu_is_overfull(
    gpus: list[Gpu], models: list[ModelMemory]
):
    try:
        placed = place(gpus, models)
    except PlacementError as refused:
        assert not possible(gpus, models)
        assert any(one.name in str(refused) for one in models)
        return
    assert [each.gpu for each in placed] == gpus
    assert {name for each in placed for name in names(each)} == {one.name for one in models}
    for each in placed:
        assert len(set(names(each))) == len(each.models), "a GPU has no second copy"
        assert room(each) >= 0 or not each.models
        assert all(one in each.models or one.bytes > room(each) for one in models), "a copy would fit"
    assert placed == place(gpus, models) == place(gpus, models)


@settings(max_examples=50, deadline=None)
@given(GPUS, MODELS)
def test_the_order_of_models_does_not_matter(gpus: list[Gpu], models: list[ModelMemory]):
    try:
        placed = place(gpus, models)
    except PlacementError:
        with pytest.raises(PlacementError):
            place(gpus, models[::-1])
        return
    assert [set(names(each)) for each in placed] == [set(names(each)) for each in place(gpus, models[::-1])]


def test_a_large_gpu_has_every_model_and_each_further_one_has_copies():
    placed = place([gpu(0, 80), gpu(1, 80), gpu(2, 24)], FULL_SIZE)
    assert [names(each) for each in placed] == [[one.name for one in FULL_SIZE]] * 3


def test_two_small_gpus_share_the_models_and_denoisers_get_the_room_that_is_left():
    placed = place([gpu(0, 11), gpu(1, 11)], FULL_SIZE)
    assert [names(each) for each in placed] == [
        ["ip2p_unet", "sam", "sd2_inpaint"],
        ["sam", "sd2_inpaint", "text_encoder", "vae"],
    ]


def test_a_second_copy_of_each_comes_before_a_third():
    a, b = model("a", 3, step_loop=True), model("b", 3, step_loop=True)
    copies = [name for each in place([gpu(index, 4) for index in range(5)], [a, b]) for name in names(each)]
    assert sorted(copies) == ["a", "a", "a", "b", "b"]


def test_what_a_greedy_choice_misses_is_found():
    """The largest on the emptiest GPU would leave no room for the two others together."""
    placed = place([gpu(0, 10.5), gpu(1, 6.5)], [model("a", 6), model("b", 5), model("c", 5)])
    assert [names(each) for each in placed] == [["b", "c"], ["a"]]


def test_a_gpu_that_is_too_small_names_what_can_be_left_out_first():
    with pytest.raises(PlacementError) as refused:
        place([gpu(0, 12)], FULL_SIZE)
    said = str(refused.value)
    assert said.startswith("not enough GPU memory for sd2_inpaint 3.7 GiB: all models together need 13.4 GiB")
    assert "GPU 0 (pretend, 12.0 GiB free)" in said and "leave out the bundle of sd2_inpaint" in said


def test_every_model_that_does_not_fit_is_named():
    with pytest.raises(
        PlacementError, match=r"for ip2p_unet 3.7 GiB, vae .*, text_encoder .*, sd2_inpaint .*:"
    ):
        place([gpu(0, 4)], FULL_SIZE)


def test_a_gpu_on_which_nothing_fits_is_left_empty():
    placed = place([gpu(0, 80), gpu(1, 1)], FULL_SIZE)
    assert placed[1].models == () and str(placed[1]).endswith(": no model fits")


def test_many_equal_gpus_that_are_too_small_are_refused_at_once():
    """Trying every way would take until tomorrow."""
    with pytest.raises(PlacementError):
        place([gpu(index, 4) for index in range(12)], [model(f"m{rank}", 3) for rank in range(13)])

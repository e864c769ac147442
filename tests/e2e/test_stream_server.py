"""The denoisers behind a real Triton, called by a plain client."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
from tritonclient.grpc import InferenceServerException

from tests.e2e.triton import TritonClient, edit_tensors, figure, fill_tensors, text
from tests.e2e.waiting import PATIENCE, running, until

MODEL = "ip2p_unet"
BOTH = pytest.mark.parametrize(
    ("model", "tensors"), [(MODEL, edit_tensors), ("sd2_inpaint", fill_tensors)], ids=["edit", "fill"]
)


@pytest.fixture(scope="module")
def width(weights) -> int:
    from services.bundles.bundle import Bundle

    return Bundle.open(weights / "ip2p").config("unet")["cross_attention_dim"]


@BOTH
def test_every_step_has_a_reply_and_the_last_has_the_latents(models: TritonClient, width, model, tensors):
    with models.stream(model, tensors(width, steps=4)) as stream:
        replies = list(stream)
    assert [reply.as_numpy("progress").tolist() for reply in replies] == [[1, 4], [2, 4], [3, 4], [4, 4]]
    assert [reply.as_numpy("latents") is None for reply in replies] == [True, True, True, False]
    assert replies[-1].as_numpy("latents").shape == (4, 8, 8)


@BOTH
def test_previews_come_when_requested(models: TritonClient, width, model, tensors):
    asked = tensors(width, steps=5, preview_every=np.array([2], np.int32))
    with models.stream(model, asked) as stream:
        shown = [reply.as_numpy("latents") is not None for reply in stream]
    assert shown == [False, True, False, True, True]


@BOTH
def test_the_same_seed_gives_the_same_latents_and_another_seed_others(
    models: TritonClient, width, model, tensors
):
    def made(seed: int) -> bytes:
        asked = tensors(width, reproducible=np.array([1], np.uint8))
        asked["seed"] = np.array([seed], np.uint64)
        with models.stream(model, asked) as stream:
            return list(stream)[-1].as_numpy("latents").tobytes()

    assert made(5) == made(5)
    assert made(5) != made(6)


@BOTH
def test_a_request_for_other_weights_is_refused_before_its_first_step(
    models: TritonClient, width, model, tensors
):
    loaded = models.facts(model)["weights"]
    with models.stream(model, tensors(width, steps=2, weights=text(loaded))) as stream:
        assert len(list(stream)) == 2
    with (
        models.stream(model, tensors(width, steps=2, weights=text("0" * 64))) as stream,
        pytest.raises(InferenceServerException, match="OTHER_WEIGHTS"),
    ):
        stream.reply()


@BOTH
@pytest.mark.parametrize("scheduler", ["ddim", "euler_ancestral", "unipc", "pndm"])
def test_a_request_taken_up_from_a_checkpoint_ends_in_the_same_bytes(
    models: TritonClient, width, model, tensors, scheduler
):
    def replies(**more: np.ndarray) -> list:
        fixed = {"scheduler": text(scheduler), "reproducible": np.array([1], np.uint8)}
        with models.stream(model, tensors(width, steps=7, **fixed, **more)) as stream:
            return list(stream)

    whole = replies(checkpoint_every=np.array([3], np.int32))
    checkpoints = [reply.as_numpy("checkpoint") for reply in whole]
    due = [index for index, blob in enumerate(checkpoints, start=1) if blob is not None]
    assert due == [3, 6]
    for index in due:
        again = replies(checkpoint=checkpoints[index - 1])
        assert again[0].as_numpy("progress")[0] == index + 1
        ours, theirs = (each[-1].as_numpy("latents").tobytes() for each in (again, whole))
        assert ours == theirs


def test_a_checkpoint_of_another_request_is_refused_naming_it(models: TritonClient, width):
    every = np.array([2], np.int32)
    with models.stream(MODEL, edit_tensors(width, checkpoint_every=every)) as stream:
        blob = next(b for b in (reply.as_numpy("checkpoint") for reply in stream) if b is not None)
    with (
        models.stream(MODEL, edit_tensors(width, seed=4, checkpoint=blob)) as stream,
        pytest.raises(InferenceServerException, match="INVALID_FIELD: checkpoint belongs to another"),
    ):
        stream.reply()


@BOTH
def test_the_cost_of_a_job_is_answered_without_work(models: TritonClient, model, tensors):
    def cost(**question) -> dict:
        asked = {"ask": text("cost"), "cost": text({"sheets": [[8, 8], [16, 16]], "steps": 10, **question})}
        with models.stream(model, asked) as stream:
            return json.loads(stream.reply().as_numpy("facts").tobytes())

    one = cost()
    assert one["evaluations"] == (3 if model == MODEL else 2) and one["seconds"] > 0
    assert cost(candidates=3)["seconds"] == pytest.approx(3 * one["seconds"], rel=0.01, abs=0.005)
    assert cost(equal_prompts=True)["evaluations"] == one["evaluations"] - 1


def test_a_cancel_frees_the_slot_within_a_step(stack, models: TritonClient, width):
    def cancelled() -> float:
        return figure(stack.triton.metrics_url, "intarsia_engine_ended", model=MODEL, how="cancelled")

    before = cancelled()
    with models.stream(MODEL, edit_tensors(width, side=16, steps=900)) as stream:
        stream.reply()
        assert running(stack.triton) >= 1  # probes count, too
    until(lambda: running(stack.triton) == 0)
    until(lambda: cancelled() == before + 1)


def test_a_killed_client_frees_its_slot(stack, width):
    program = (
        "import sys; from tests.e2e.triton import Stream, edit_tensors\n"
        f"with Stream({stack.triton.url!r}, {MODEL!r}, edit_tensors({width}, side=16, steps=900)) as s:\n"
        "    s.reply(); print('stepping', flush=True); sys.stdin.read()\n"
    )
    with subprocess.Popen(
        [sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"stepping\n"
        assert running(stack.triton) >= 1  # probes count, too
        client.kill()
    until(lambda: running(stack.triton) == 0)


def test_a_time_limit_ends_a_request_in_the_step_loop(stack, models: TritonClient, width):
    with models.stream(MODEL, edit_tensors(width, side=16, steps=900), timeout_us=300_000) as stream:
        with pytest.raises(InferenceServerException, match="TIME_LIMIT"):
            for _ in stream:
                pass
    until(lambda: running(stack.triton) == 0)


def test_requests_that_run_together_share_passes(stack, models: TritonClient, width):
    """The supervisor's probes are in both figures too, one step and one pass each."""
    url = stack.triton.metrics_url

    def figures() -> tuple[float, float]:
        return (
            figure(url, "intarsia_engine_trajectory_steps", model=MODEL),
            figure(url, "intarsia_engine_steps", model=MODEL),
        )

    steps, passes = figures()
    streams = [models.stream(MODEL, edit_tensors(width, side=4, steps=40, seed=seed)) for seed in range(6)]
    for stream in streams:
        assert len(list(stream)) == 40
        stream.leave()
    until(lambda: figures()[0] - steps >= 6 * 40)  # they are published a little later
    more_steps, more_passes = figures()
    assert more_steps - steps - (more_passes - passes) > 40, "at least 40 steps rode along in another's pass"


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"source": None}, "source is missing"),
        ({"source": np.zeros((4, 0, 8), np.float32)}, "source must have sides of 1 to"),
        ({"source": np.full((4, 8, 8), np.nan, np.float32)}, "source must hold finite numbers"),
        ({"text": np.zeros((6, 5), np.float32)}, "text must be 1 to 1024 tokens of width"),
        ({"no_text": np.zeros((5, 0), np.float32)}, "no_text must be 1 to 1024 tokens"),
        ({"seed": np.array([2**63], np.uint64)}, r"seed must be in \[0, 9223372036854775807\]"),
        ({"steps": np.array([0], np.int32)}, r"steps must be in \[1, \d+\], not 0"),
        ({"guidance": np.array([np.inf, 1], np.float32)}, r"guidance must be in \[0, 100\]"),
        ({"scheduler": text("heun")}, "scheduler must be one of ddim, .* not 'heun'"),
        ({"scheduler": np.array([0xFF], np.uint8)}, "scheduler must be JSON in UTF-8"),
        ({"reproducible": np.array([7], np.uint8)}, r"reproducible must be in \[0, 1\]"),
        ({"ask": text("for the moon")}, "ask must be"),
        ({"ask": text("probe")}, "known must come with a probe"),
    ],
)
def test_a_wrong_tensor_is_named_with_the_remedy(models: TritonClient, width, change, complaint):
    asked = {**edit_tensors(width), **change}
    with models.stream(MODEL, {name: value for name, value in asked.items() if value is not None}) as stream:
        with pytest.raises(InferenceServerException, match=f"INVALID_FIELD: {complaint}"):
            stream.reply()


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"hole": None}, "hole is missing"),
        ({"hole": np.full((1, 8, 8), 0.5, np.float32)}, "hole must hold 0 and 1 only"),
        ({"spread": np.full((4, 8, 8), -1, np.float32)}, "spread must not be negative"),
        ({"guidance": np.array([np.nan], np.float32)}, r"guidance must be in \[0, 100\]"),
    ],
)
def test_a_wrong_tensor_of_a_fill_is_named_too(models: TritonClient, width, change, complaint):
    asked = {**fill_tensors(width), **change}
    with models.stream("sd2_inpaint", {name: at for name, at in asked.items() if at is not None}) as stream:
        with pytest.raises(InferenceServerException, match=f"INVALID_FIELD: {complaint}"):
            stream.reply()


def test_a_picture_too_large_for_the_memory_is_an_invalid_request(models: TritonClient, width):
    with models.stream(MODEL, edit_tensors(width, side=513)) as stream:
        with pytest.raises(InferenceServerException, match="source must have sides of 1 to 256"):
            stream.reply()


def test_the_figures_of_a_model_leave_with_it(stack, models: TritonClient, width):
    """They begin anew when the supervisor has loaded it again."""

    def steps() -> float:
        return figure(stack.triton.metrics_url, "intarsia_engine_trajectory_steps", model=MODEL)

    with models.stream(MODEL, edit_tensors(width, steps=200)) as stream:
        assert len(list(stream)) == 200
    until(lambda: steps() >= 200)
    models.client.unload_model(MODEL)
    until(lambda: not models.client.is_model_ready(MODEL), PATIENCE)
    until(lambda: models.client.is_model_ready(MODEL), PATIENCE)
    assert steps() < 200  # those of probes

"""The way to the models, over the real protocol."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from functools import partial
from typing import Any

import numpy as np
import pytest
from grpc import StatusCode as Code
from hypothesis import given
from hypothesis import strategies as st
from tritonclient.grpc import service_pb2 as kserve

from intarsia.errors import (
    Busy,
    Cancelled,
    IntarsiaError,
    InternalError,
    InvalidRequest,
    ModelDown,
    NotFound,
    TimeLimit,
)
from orchestrator.deadline import Deadline
from orchestrator.triton import tensors
from orchestrator.triton.breaker import BreakerState
from orchestrator.triton.connection import Connection
from orchestrator.triton.endpoint import Endpoint
from orchestrator.triton.errors import model_reason, to_exception
from orchestrator.triton.stall import StallLimits, StallTimer
from tests.orchestrator.doubles.refused import Refused
from tests.orchestrator.doubles.triton import Triton

NO_LIMIT = Deadline()
PATIENT = StallLimits()
BRIEF = StallLimits(steps=1, floor=0.05, first=5)


@pytest.fixture
async def triton() -> AsyncIterator[Triton]:
    async with Triton() as server:
        yield server


Open = Callable[..., Endpoint]


@pytest.fixture
async def endpoint_of() -> AsyncIterator[Open]:
    """Opens endpoints of models by name and address."""
    connections: list[Connection] = []

    def opened(model: str, url: str, limits: StallLimits = PATIENT) -> Endpoint:
        connections.append(Connection(url))
        return Endpoint(model, connections[-1], limits, decoupled=model == "ip2p_unet")

    yield opened
    for connection in connections:
        await connection.close()


@pytest.fixture
def vae(triton: Triton, endpoint_of: Open) -> Endpoint:
    return endpoint_of("vae", triton.url)


@pytest.fixture
def unet(triton: Triton, endpoint_of: Open) -> Endpoint:
    return endpoint_of("ip2p_unet", triton.url)


def walk(steps: int) -> dict[str, np.ndarray]:
    return {
        "source": np.ones((4, 8, 8), np.float32),
        "steps": np.array([steps], np.int32),
        "preview_every": np.zeros(1, np.int32),
    }


async def test_tensors_come_back_as_they_were_sent(vae: Endpoint) -> None:
    picture = np.random.default_rng(7).uniform(-1, 1, (3, 64, 48)).astype(np.float32)
    reply = await vae.infer({"picture": picture}, deadline=NO_LIMIT)
    expected = picture.reshape(3, 8, 8, 6, 8).mean(axis=(2, 4), dtype=np.float32)
    np.testing.assert_array_equal(reply["encoded"][:3], expected)


@given(
    st.sampled_from(["u1", "u8", "i4", "f2", "f4"]),
    st.lists(st.integers(0, 5), max_size=4),
    st.integers(0, 2**32 - 1),
)
def test_any_tensor_survives_packing(dtype: str, shape: list[int], seed: int) -> None:
    values = np.random.default_rng(seed).integers(0, 100, shape).astype(dtype)
    packed = tensors.request("model", {"values": values})
    reply = kserve.ModelInferResponse(raw_output_contents=packed.raw_input_contents)
    for tensor in packed.inputs:
        reply.outputs.add(name=tensor.name, datatype=tensor.datatype, shape=tensor.shape)
    unpacked = tensors.answer(reply)["values"]
    assert unpacked.dtype == values.dtype
    np.testing.assert_array_equal(unpacked, values)


@pytest.mark.parametrize("side", [64, 1024])
async def test_large_tensors_leave_the_event_loop_alone(
    vae: Endpoint, monkeypatch: pytest.MonkeyPatch, side: int
) -> None:
    worked = []

    def noting(work: Callable[..., Any]) -> Callable[..., Any]:
        def noted(*args: Any, **more: Any) -> Any:
            worked.append(threading.current_thread() is threading.main_thread())
            return work(*args, **more)

        return noted

    for name in ("to_bytes", "from_bytes"):
        monkeypatch.setattr(f"orchestrator.triton.endpoint.{name}", noting(getattr(tensors, name)))
    latents = np.zeros((4, side // 8, side // 8), np.float32)
    await vae.infer({"picture": np.zeros((3, side, side), np.float32)}, deadline=NO_LIMIT)
    decoded = await vae.infer({"latents": latents}, deadline=NO_LIMIT)
    assert decoded["decoded"].shape == (3, side, side)
    small = side == 64
    assert worked == [small, True, True, small]


def test_a_reply_that_is_no_message_is_a_fault() -> None:
    with pytest.raises(InternalError, match="cannot be read"):
        tensors.from_bytes(b"\xff\xff\xff\xff")


def test_a_reply_that_is_shorter_than_its_shape_is_a_fault() -> None:
    reply = kserve.ModelInferResponse(model_name="vae", raw_output_contents=[b"abc"])
    reply.outputs.add(name="decoded", datatype="FP32", shape=[1])
    with pytest.raises(InternalError, match="decoded"):
        tensors.answer(reply)


@given(st.recursive(st.none() | st.text() | st.integers(), lambda inner: st.lists(inner)))
def test_text_crosses_as_json(value: object) -> None:
    assert tensors.from_text(tensors.text(value)) == value


async def test_a_stream_gives_a_reply_per_step(unet: Endpoint) -> None:
    replies = [reply async for reply in unet.stream(walk(5), deadline=NO_LIMIT)]
    assert [reply["progress"].tolist() for reply in replies] == [[step, 5] for step in range(1, 6)]


async def test_the_model_gets_the_remaining_time(triton: Triton, vae: Endpoint) -> None:
    await vae.infer({"ask": tensors.text("facts")}, deadline=Deadline.after(30))
    assert 25e6 < triton.limits[0] <= 30e6


async def test_cancelling_the_listener_cancels_the_request(triton: Triton, unet: Endpoint) -> None:
    triton.ip2p_unet.hold_at = 2

    async def listen() -> None:
        async for _ in unet.stream(walk(5), deadline=NO_LIMIT):
            pass

    listener = asyncio.ensure_future(listen())
    await triton.ip2p_unet.held.wait()
    listener.cancel()
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)
    with pytest.raises(asyncio.CancelledError):
        await listener


async def test_leaving_a_stream_early_cancels_the_request(triton: Triton, unet: Endpoint) -> None:
    triton.ip2p_unet.hold_at = 1
    async with aclosing(unet.stream(walk(5), deadline=NO_LIMIT)) as replies:
        await anext(replies)
        await triton.ip2p_unet.held.wait()
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)


async def test_a_call_that_is_completing_is_not_cancelled_with_its_caller(
    triton: Triton, unet: Endpoint, vae: Endpoint
) -> None:
    """This Triton would die of it."""
    picture = {"picture": np.zeros((3, 8, 8), np.float32)}

    async def listen() -> None:
        async for _ in unet.stream(walk(steps=1), deadline=NO_LIMIT):
            pass

    for call in (listen, partial(vae.infer, picture, deadline=NO_LIMIT)):
        triton.may_end.clear()
        triton.completing.clear()
        caller: asyncio.Future[object] = asyncio.ensure_future(call())
        await asyncio.wait_for(triton.completing.wait(), 10)
        caller.cancel()
        with pytest.raises(asyncio.CancelledError):
            await caller
        later = asyncio.ensure_future(vae.infer(picture, deadline=NO_LIMIT))
        triton.completing.clear()
        await asyncio.wait_for(triton.completing.wait(), 10)  # so that a cancel would have arrived
        triton.may_end.set()
        await later
    assert not triton.cancelled_at_the_end.is_set()


async def test_a_stream_that_does_not_end_is_given_up_and_cancelled(
    triton: Triton, endpoint_of: Open
) -> None:
    triton.may_end.clear()
    unet = endpoint_of("ip2p_unet", triton.url, BRIEF)
    assert [reply async for reply in unet.stream(walk(steps=1), deadline=Deadline())]
    await asyncio.wait_for(triton.cancelled_at_the_end.wait(), 10)


async def test_a_silent_stream_is_given_up_and_cancelled(triton: Triton, endpoint_of: Open) -> None:
    triton.ip2p_unet.hold_at = 1
    model = endpoint_of("ip2p_unet", triton.url, BRIEF)
    with pytest.raises(ModelDown, match=r"no sign of life from ip2p_unet for 0\.05 s"):
        async for _ in model.stream(walk(5), deadline=NO_LIMIT):
            pass
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)


DEAD = Refused("Stub process 'ip2p_unet_0_0' is not healthy.", Code.INTERNAL)


@pytest.fixture
def quick_pulse(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("orchestrator.triton.pulse.SECONDS", 0.1)


async def held_up(triton: Triton, model: Endpoint) -> asyncio.Task[None]:
    """A stream whose model has made one step and is silent."""
    triton.ip2p_unet.hold_at = 1
    triton.ip2p_unet.held.clear()

    async def follow() -> None:
        async with aclosing(model.stream(walk(5), deadline=NO_LIMIT)) as replies:
            async for _ in replies:
                pass

    following = asyncio.ensure_future(follow())
    await asyncio.wait_for(triton.ip2p_unet.held.wait(), 10)
    return following


@pytest.mark.usefixtures("quick_pulse")
async def test_streams_end_soon_after_their_process(triton: Triton, unet: Endpoint) -> None:
    streams = [await held_up(triton, unet) for _ in range(3)]
    asked = triton.queries
    triton.broken["ip2p_unet"] = DEAD
    for stream in streams:
        with pytest.raises(ModelDown, match="the process of ip2p_unet has ended"):
            await asyncio.wait_for(stream, 5)
    assert triton.queries - asked <= 4, "they ask together"
    assert unet.breaker.state is not BreakerState.CLOSED


@pytest.mark.usefixtures("quick_pulse")
async def test_streams_end_when_another_process_answers(triton: Triton, unet: Endpoint) -> None:
    stream = await held_up(triton, unet)
    await asyncio.sleep(0.3)
    assert not stream.done()
    triton.ip2p_unet.uptime = 0.01
    with pytest.raises(ModelDown, match="the process of ip2p_unet has ended"):
        await asyncio.wait_for(stream, 5)


@pytest.mark.usefixtures("quick_pulse")
@pytest.mark.parametrize(
    "answer",
    [None, Refused("BUSY: no room for facts"), Refused("INTERNAL: a fault")],
    ids=["facts", "busy", "fault"],
)
async def test_a_stream_stays_open_while_its_process_lives(
    triton: Triton, unet: Endpoint, answer: Refused | None
) -> None:
    stream = await held_up(triton, unet)
    if answer is not None:
        triton.broken["ip2p_unet"] = answer
    asked = triton.queries
    await asyncio.wait({stream}, timeout=0.5)
    assert not stream.done() and (answer is not None or triton.queries > asked)
    triton.ip2p_unet.go_on.set()
    await asyncio.wait_for(stream, 10)


@pytest.mark.usefixtures("quick_pulse")
async def test_a_process_that_does_not_tell_is_given_the_time_of_a_stall(
    triton: Triton, endpoint_of: Open
) -> None:
    model = endpoint_of("ip2p_unet", triton.url, StallLimits(floor=0.6))
    stream = await held_up(triton, model)
    triton.ip2p_unet.tells.clear()
    with pytest.raises(ModelDown, match=r"no sign of life from ip2p_unet for 0\.6 s"):
        await asyncio.wait_for(stream, 10)


async def test_a_request_without_a_reply_is_given_up_and_cancelled(triton: Triton, endpoint_of: Open) -> None:
    triton.ip2p_unet.hold_at = 0
    model = endpoint_of("ip2p_unet", triton.url, StallLimits(answer=0.5))
    with pytest.raises(ModelDown, match=r"no sign of life from ip2p_unet for 0\.5 s"):
        await asyncio.wait_for(model.infer(walk(5), deadline=NO_LIMIT), 10)
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)
    with pytest.raises(TimeLimit):  # the time limit of a job stays one
        await model.infer(walk(5), deadline=Deadline.after(0.05))


async def test_a_request_that_is_never_accepted_is_given_up(endpoint_of: Open) -> None:
    async def deaf(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        writer.close()

    server = await asyncio.start_server(deaf, "127.0.0.1", 0)
    with pytest.raises(ModelDown, match="no sign of life"):
        url = f"127.0.0.1:{server.sockets[0].getsockname()[1]}"
        model = endpoint_of("ip2p_unet", url, StallLimits(floor=0.05, first=0.05))
        async for _ in model.stream(walk(5), deadline=NO_LIMIT):
            pass
    server.close()


def test_patience_grows_with_the_longest_step(monkeypatch: pytest.MonkeyPatch) -> None:
    now = iter([10.0, 13.0, 14.0, 18.0, 19.0])
    monkeypatch.setattr("orchestrator.triton.stall.time.monotonic", lambda: next(now))
    timer = StallTimer(StallLimits(steps=3, floor=5, first=60))
    assert not timer.began and timer.allowance() == 60
    allowances = []
    for _ in range(4):
        timer.beat()
        allowances.append(timer.allowance())
    # The first step, with the wait for its turn, stands in for the others until there is a second.
    assert allowances == [9, 5, 12, 12]


async def test_what_breaks_after_the_last_reply_spoils_nothing(triton: Triton, unet: Endpoint) -> None:
    triton.ends_badly = True
    replies = [reply async for reply in unet.stream(walk(3), deadline=NO_LIMIT)]
    assert [reply["progress"].tolist() for reply in replies] == [[1, 3], [2, 3], [3, 3]]


async def test_a_stream_ends_with_its_deadline(triton: Triton, unet: Endpoint) -> None:
    triton.ip2p_unet.hold_at = 0
    with pytest.raises(TimeLimit):
        async for _ in unet.stream(walk(5), deadline=Deadline.after(0.4)):
            pass
    await asyncio.wait_for(triton.ip2p_unet.left.wait(), 5)


async def test_a_passed_deadline_sends_nothing(triton: Triton, vae: Endpoint) -> None:
    with pytest.raises(TimeLimit):
        await vae.infer({"ask": tensors.text("facts")}, deadline=Deadline(0.0))
    assert not triton.limits


async def test_a_closed_port_is_a_model_that_is_down(endpoint_of: Open) -> None:
    async with Triton() as gone:
        url = gone.url
    with pytest.raises(ModelDown, match="vae is out of reach"):
        await endpoint_of("vae", url).infer({}, deadline=NO_LIMIT)


async def test_a_model_that_says_it_was_cancelled_does_not_cancel_the_listener(
    triton: Triton, unet: Endpoint
) -> None:
    triton.ip2p_unet.refusals.append(Refused("CANCELLED: nobody waits for this", Code.CANCELLED))
    with pytest.raises(Cancelled, match="nobody waits"):
        async for _ in unet.stream(walk(3), deadline=NO_LIMIT):
            pass


@pytest.mark.parametrize(
    ("words", "code", "kind", "message"),
    [
        ("BUSY: no room for this picture now", Code.UNAVAILABLE, Busy, "no room for this picture now"),
        ("EMPTY_REGION: nothing there", Code.NOT_FOUND, NotFound, "nothing there"),
        ("TIME_LIMIT: the time is up", Code.CANCELLED, TimeLimit, "the time is up"),
        ("ODD_REASON: strange", Code.NOT_FOUND, NotFound, "strange"),
        ("ODD_REASON: strange", None, InternalError, "strange"),
        ("Stub process 'ip2p_unet_0_0' is not healthy.", Code.INTERNAL, ModelDown, "does not answer"),
        ("Request for unknown model: 'm' has no available versions", Code.UNAVAILABLE, ModelDown, "m"),
        ("Exceeds maximum queue size", None, Busy, "does not answer"),
        ("unexpected shape for input 'source'", Code.INVALID_ARGUMENT, InternalError, "unexpected shape"),
        ("Deadline Exceeded", Code.DEADLINE_EXCEEDED, TimeLimit, "time limit"),
        ("failed to connect to all addresses", Code.UNAVAILABLE, ModelDown, "out of reach"),
        ("too large", Code.RESOURCE_EXHAUSTED, Busy, "no room"),
    ],
)
def test_whatever_goes_wrong_has_a_class(
    words: str, code: Code | None, kind: type[IntarsiaError], message: str
) -> None:
    error = to_exception("ip2p_unet", words, code)
    assert isinstance(error, kind)
    assert message in error.message


def test_a_field_that_a_model_refuses_is_named() -> None:
    error = to_exception(
        "ip2p_unet", "INVALID_FIELD: steps must be in [1, 1000], not 0", Code.INVALID_ARGUMENT
    )
    assert isinstance(error, InvalidRequest)
    assert error.field == "steps"


def test_a_models_own_reason_is_passed_on() -> None:
    error = to_exception("sam", "UNKNOWN_PICTURE: send its pixels", Code.NOT_FOUND)
    assert model_reason(error) == "UNKNOWN_PICTURE"
    assert error.reason == "NOT_FOUND"


def test_paths_and_tracebacks_stay_behind() -> None:
    words = (
        "INTERNAL: cannot open /srv/models/vae/model.py:17\n\nAt:\n  /srv/models/vae/model.py(17): execute"
    )
    error = to_exception("vae", words, Code.INTERNAL)
    assert "/srv" not in error.message and "At:" not in error.message
    assert error.message.startswith("cannot open …")


def test_addresses_stay_behind_and_are_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    words = "failed to connect to all addresses; last error: UNKNOWN: ipv4:10.0.3.7:8001: connect refused"
    error = to_exception("sam", words, Code.UNAVAILABLE)
    assert error.message == "sam is out of reach; try again in a moment"
    assert "ipv4:10.0.3.7:8001" in caplog.text

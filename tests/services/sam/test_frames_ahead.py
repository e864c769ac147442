"""Frames that are sent before they are tracked get the answers of frames that come with the request."""

from __future__ import annotations

import weakref

import pytest
import torch

from services.refusal import Refusal
from services.sam.frames_ahead import IDLE, FramesAhead
from services.sam.image_encoder import ImageEncoder
from services.sam.sam2 import Sam2
from services.sam.service import Sam
from tests.services.calls import tensors
from tests.services.clock import Clock
from tests.services.sam.clips import clip, disc, follow, look, name, same
from tests.services.sam.pictures import picture
from tests.services.sam.streams import BusyStream

CPU = torch.device("cpu")
FRAMES = clip(8)
CLICK = torch.tensor([[60.0, 50.0, 1.0]])


@pytest.fixture
def service(sam_bundle) -> Sam:
    return Sam(sam_bundle, CPU)


@pytest.fixture
def stream() -> BusyStream:
    return BusyStream()


@pytest.fixture
def shared(sam_bundle, stream) -> FramesAhead:
    return FramesAhead(ImageEncoder(sam_bundle.network("sam"), stream))


def number(value: int) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.int32)


def send(service: Sam, place: int, shown: torch.Tensor, *, of: int = 0) -> None:
    service.embed({"clip": name(of), "frame": number(place), "picture": shown})


def ask(service: Sam, place: int, *, of: int = 0) -> dict[str, torch.Tensor]:
    """What is found in a frame that was sent ahead."""
    return service.answer({"clip": name(of), "frame": number(place)})


def count(service: Sam) -> int:
    return service.facts()["ahead"]["count"]


def test_many_clips_at_once_with_frames_sent_ahead_get_the_masks_of_each_alone(sam_bundle, service):
    clips = [clip(6, seed) for seed in range(3)]
    alone = [follow(Sam(sam_bundle, CPU), frames, {0: disc()}) for frames in clips]
    for of, frames in enumerate(clips):
        assert same(look(service, 0, frames[0], disc(), of=of), alone[of][0])
        send(service, 1, frames[1], of=of)
    for place in range(1, 6):
        for of, frames in enumerate(clips):
            if place + 1 < 6:
                send(service, place + 1, frames[place + 1], of=of)
            service.answer(tensors(picture=picture(), points=CLICK))
            assert same(ask(service, place, of=of), alone[of][place])
    assert count(service) == 0


def test_a_frame_that_is_not_there_is_asked_for(service):
    follow(service, FRAMES[:2], {0: disc()})
    send(service, 2, FRAMES[2])
    first = ask(service, 2)
    with pytest.raises(Refusal, match="UNKNOWN_PICTURE: frame 2 was not sent ahead; send its picture"):
        ask(service, 2)
    assert same(look(service, 2, FRAMES[2]), first)


def test_a_frame_may_be_sent_again_and_the_last_one_counts(service):
    expected = follow(service, FRAMES[:2], {0: disc()}, of=1)
    look(service, 0, FRAMES[0], disc())
    send(service, 1, FRAMES[5])
    send(service, 1, FRAMES[1])
    assert same(ask(service, 1), expected[1])


def test_a_sighting_may_be_sent_ahead_too(service):
    send(service, 0, FRAMES[0])
    found = service.answer({"clip": name(), "frame": number(0), "mask": disc()})
    assert same(found, look(service, 0, FRAMES[0], disc(), of=1))


def test_frames_are_dropped_with_their_clip_and_when_a_later_one_is_tracked(service):
    look(service, 0, FRAMES[0], disc())
    for place in range(1, 5):
        send(service, place, FRAMES[place])
    send(service, 3, FRAMES[3], of=1)
    ask(service, 3)
    assert count(service) == 2
    service.forget({"clip": name()})
    assert count(service) == 1


def test_a_frame_sent_ahead_is_kept_when_its_clip_is_unknown(service):
    send(service, 4, FRAMES[4])
    with pytest.raises(Refusal, match="UNKNOWN_CLIP"):
        ask(service, 4)
    assert count(service) == 1


@pytest.mark.parametrize("missing", ["clip", "frame", "picture"])
def test_what_is_sent_ahead_must_be_complete(service, missing):
    request = {"clip": name(), "frame": number(0), "picture": FRAMES[0]}
    del request[missing]
    with pytest.raises(Refusal, match=f"INVALID_FIELD: {missing} must come with"):
        service.embed(request)
    assert count(service) == 0


def test_frames_beyond_the_most_are_not_taken_until_others_leave_or_are_idle(sam_bundle):
    clock = Clock()
    frames = FramesAhead(Sam2(sam_bundle.network("sam")).encoder, most=2, clock=clock)
    for place in range(3):
        frames.add(b"a", place, FRAMES[place])
    with pytest.raises(Refusal, match="UNKNOWN_PICTURE"):
        frames.take(b"a", 2)  # all earlier ones of the clip go with it
    frames.add(b"b", 1, FRAMES[1])
    clock.now = IDLE - 1
    frames.add(b"c", 1, FRAMES[1])
    frames.add(b"d", 1, FRAMES[1])
    clock.now = IDLE
    assert frames.facts()["count"] == 1  # that of clip c
    frames.add(b"e", 1, FRAMES[1])
    for clip_name in (b"c", b"e"):
        frames.take(clip_name, 1)
    with pytest.raises(Refusal, match="UNKNOWN_PICTURE"):
        frames.take(b"d", 1)


def test_frames_that_arrive_while_one_is_embedded_share_the_next_pass(sam_bundle, shared, stream):
    shared.add(b"a", 1, FRAMES[0])
    stream.busy = True
    for of, clip_name in enumerate((b"b", b"c", b"d")):
        shared.add(clip_name, 1, FRAMES[1 + of])
    assert stream.rows == [1]
    taken = {b"c": shared.take(b"c", 1)}
    assert stream.rows == [1, 2]  # the frame that is needed, and the one that has waited longest
    shared.add(b"e", 1, FRAMES[4])
    stream.busy = False
    taken[b"a"] = shared.take(b"a", 1)  # what waits begins now
    assert stream.rows == [1, 2, 2]
    for clip_name in (b"b", b"d", b"e"):
        taken[clip_name] = shared.take(clip_name, 1)
    assert stream.rows == [1, 2, 2] and shared.facts()["count"] == 0
    alone = Sam2(sam_bundle.network("sam"))
    for shown, features in zip(FRAMES, (taken[key] for key in sorted(taken)), strict=False):
        expected = alone.embed(shown)
        for one, other in zip(
            (features.coarse, *features.details), (expected.coarse, *expected.details), strict=True
        ):
            torch.testing.assert_close(one, other, rtol=0, atol=1e-5)


def test_a_frame_that_waits_does_not_hold_those_that_shared_its_pass(shared, stream):
    stream.busy = True
    for of, clip_name in enumerate((b"a", b"b")):
        shared.add(clip_name, 1, FRAMES[of])
    taken = weakref.ref(shared.take(b"a", 1).coarse)
    assert stream.rows == [2] and shared.facts()["count"] == 1
    assert taken() is None


def test_a_frame_of_a_clip_that_ended_takes_no_part_in_a_pass(shared, stream):
    stream.busy = True
    shared.add(b"a", 1, FRAMES[1])
    shared.add(b"b", 1, FRAMES[2])
    shared.discard(b"a")
    shared.take(b"b", 1)
    assert stream.rows == [1]

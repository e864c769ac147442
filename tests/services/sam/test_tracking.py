from __future__ import annotations

import pytest
import torch
from torch.nn.functional import adaptive_avg_pool2d

from services.refusal import Refusal
from services.sam.clips import IDLE, MOST_SIGHTINGS
from services.sam.mask import to_square
from services.sam.memory import Memory
from services.sam.sam2 import Sam2
from services.sam.service import Sam
from services.sam.tracking import Tracker
from tests.services.calls import refusal, tensors
from tests.services.clock import Clock
from tests.services.sam.clips import clip, disc, follow, look, name, same
from tests.services.sam.pictures import key, picture

CPU = torch.device("cpu")
FRAMES = clip(8)
CLICK = torch.tensor([[60.0, 50.0, 1.0]])


def number(value: int) -> torch.Tensor:
    return torch.tensor([value], dtype=torch.int32)


@pytest.fixture
def service(sam_bundle) -> Sam:
    return Sam(sam_bundle, CPU)


def test_a_thing_given_in_one_frame_is_found_in_the_next_ones(service):
    first, *others = follow(service, FRAMES, {0: disc()})
    assert first["logits"].shape == (32, 32) and first["logits"].dtype == torch.float32
    inside = adaptive_avg_pool2d(disc()[None].float(), 32)[0]
    clear = (inside - 0.5).abs() > 0.3
    assert torch.equal(first["logits"][clear] > 0, inside[clear] > 0.5)
    assert float(first["presence"]) > 0.99
    assert [int(answer["begun"]) for answer in (first, *others)] == [0] * 8
    for answer in others:
        assert 0 <= float(answer["presence"]) <= 1 and bool(answer["logits"].isfinite().all())
    assert not same(others[0], others[1])


def test_another_mask_leads_to_another_thing(service):
    here, there = (
        follow(service, FRAMES[:2], {0: mask}, of=place)
        for place, mask in enumerate((disc(), disc(20, 20, 8)))
    )
    assert not torch.equal(here[1]["logits"], there[1]["logits"])


def test_the_same_question_about_the_latest_frame_gets_the_same_answer_and_changes_nothing(service):
    masks = {0: disc(), 4: disc(50)}
    once = follow(service, FRAMES, masks)
    for place, shown in enumerate(FRAMES):
        for _ in range(2):
            assert same(look(service, place, shown, masks.get(place), of=1), once[place])


def test_a_mask_for_the_latest_frame_takes_the_place_of_what_was_found_there(service):
    follow(service, FRAMES[:4], {0: disc()})
    corrected = [look(service, 3, FRAMES[3], disc(30)), look(service, 4, FRAMES[4])]
    straight = follow(service, FRAMES[:5], {0: disc(), 3: disc(30)}, of=1)
    assert all(same(*pair) for pair in zip(corrected, straight[3:], strict=True))


def test_clips_followed_by_turns_among_stills_are_followed_as_if_alone(sam_bundle, service):
    clips = [clip(6, seed) for seed in range(3)]
    masks = [{0: disc()}, {0: disc(30, 30)}, {0: disc(90), 3: disc(80)}]
    alone = [follow(Sam(sam_bundle, CPU), *one) for one in zip(clips, masks, strict=True)]
    still = Sam(sam_bundle, CPU).answer(tensors(picture=picture(), points=CLICK))
    for place in range(6):
        for which, frames in enumerate(clips):
            found = look(service, place, frames[place], masks[which].get(place), of=which)
            assert same(found, alone[which][place])
            assert same(service.answer(tensors(picture=picture(), points=CLICK)), still)
            service.probe()
    assert service.facts()["clips"]["count"] == 3


def test_frames_may_be_left_out_and_their_numbers_tell_how_far_apart_the_others_are(service):
    look(service, 0, FRAMES[0], disc())
    look(service, 1, FRAMES[1])
    near = look(service, 2, FRAMES[5])
    look(service, 0, FRAMES[0], disc(), of=1)
    look(service, 1, FRAMES[1], of=1)
    far = look(service, 40, FRAMES[5], of=1)
    assert not torch.equal(near["logits"], far["logits"])


def test_a_clip_may_be_followed_from_a_later_frame_on(service):
    look(service, 5, FRAMES[5], disc())
    assert int(look(service, 6, FRAMES[6])["begun"]) == 5


def test_an_absent_thing_has_no_logit_above_zero(sam_bundle):
    network = sam_bundle.network("sam")
    network.sam_mask_decoder.pred_obj_score_head.layers[-1].bias.fill_(-9.0)
    stills, tracker = Sam2(network), Tracker(network)
    mask = to_square(disc(), network.image_size)
    shown, memory = tracker.track(stills.embed(FRAMES[0]), 0, Memory(), mask=mask)
    found, _ = tracker.track(stills.embed(FRAMES[1]), 1, memory)
    assert float(shown.presence) > 0.99 and float(shown.logits.max()) > 0
    assert float(found.presence) < 0.01 and float(found.logits.max()) < -100


def test_a_speck_is_not_lost_in_a_large_frame(service):
    """Nothing of it would be left where half a pixel is asked for."""
    speck = torch.zeros(1000, 1000, dtype=torch.uint8)
    speck[500:502, 300:302] = 1
    found = look(service, 0, picture(1000, 1000), speck)
    row, column = divmod(int(found["logits"].argmax()), 32)
    assert (row, column) == (16, 9)
    assert 0 < int((to_square(speck, 128) > 0).sum()) < 5


def test_the_embedding_of_a_still_serves_a_sighting_and_the_other_way_round(service, monkeypatch):
    embedded = []
    embed = Sam2.embed
    monkeypatch.setattr(Sam2, "embed", lambda self, shown: embedded.append(1) or embed(self, shown))
    service.answer(tensors(picture=FRAMES[0], points=CLICK))
    shown = look(service, 0, FRAMES[0], disc())
    named = service.answer(tensors(clip=name(1), frame=number(0), picture_key=key(FRAMES[0]), mask=disc()))
    assert same(shown, named)
    look(service, 1, FRAMES[1], disc())
    service.answer(tensors(picture_key=key(FRAMES[1]), points=CLICK))
    assert len(embedded) == 2


def test_a_frame_can_be_named_by_its_key(service):
    service.answer(tensors(picture=FRAMES[1], points=CLICK))
    for of in range(2):
        look(service, 0, FRAMES[0], disc(), of=of)
    named = service.answer(tensors(clip=name(0), frame=number(1), picture_key=key(FRAMES[1])))
    assert same(named, look(service, 1, FRAMES[1], of=1))


def test_the_frames_of_a_clip_drive_no_still_out(sam_bundle):
    one = Sam2(sam_bundle.network("sam")).embed(FRAMES[0]).bytes
    service = Sam(sam_bundle, CPU, cache_bytes=2 * one)
    service.answer(tensors(picture=picture(), points=CLICK))
    follow(service, FRAMES, {0: disc()})
    service.answer(tensors(picture_key=key(picture()), points=CLICK))
    assert service.facts()["kept"]["count"] == 2


def test_an_idle_clip_is_forgotten(sam_bundle):
    clock = Clock()
    service = Sam(sam_bundle, CPU, clock=clock)
    look(service, 0, FRAMES[0], disc())
    clock.now = IDLE - 1
    look(service, 1, FRAMES[1])
    clock.now = 2 * IDLE - 2
    look(service, 0, FRAMES[0], disc(), of=1)
    look(service, 2, FRAMES[2])
    clock.now = 3 * IDLE - 2
    assert service.facts()["clips"]["count"] == 0 and service.facts()["clips"]["bytes"] == 0
    with pytest.raises(Refusal, match=r"UNKNOWN_CLIP: .*begin again with a mask"):
        look(service, 3, FRAMES[3])
    assert int(look(service, 3, FRAMES[3], disc())["begun"]) == 3


def test_the_least_recently_used_clip_is_dropped_first(sam_bundle):
    service = Sam(sam_bundle, CPU)
    look(service, 0, FRAMES[0], disc())
    one = service.facts()["clips"]["bytes"]
    service = Sam(sam_bundle, CPU, clips_bytes=2 * one)
    for of in (0, 1):
        look(service, 0, FRAMES[0], disc(), of=of)
    look(service, 0, FRAMES[0], disc())
    look(service, 0, FRAMES[0], disc(), of=2)
    with pytest.raises(Refusal, match="UNKNOWN_CLIP"):
        look(service, 1, FRAMES[1], of=1)
    facts = service.facts()["clips"]
    assert (facts["count"], facts["bytes"], facts["budget_bytes"]) == (2, 2 * one, 2 * one)


def test_a_clip_is_forgotten_on_request(service):
    look(service, 0, FRAMES[0], disc())
    service.forget({"clip": name()})
    service.forget({"clip": name()})
    with pytest.raises(Refusal, match="UNKNOWN_CLIP"):
        look(service, 1, FRAMES[1])
    assert service.facts()["clips"]["bytes"] == 0
    for wrong in ({}, {"clip": name()[:5]}):
        with pytest.raises(Refusal, match="INVALID_FIELD: clip must"):
            service.forget(wrong)


def test_the_memory_of_a_clip_does_not_grow_with_its_length(service):
    look(service, 0, FRAMES[0], disc())
    sizes = []
    for place in range(1, 60):
        look(service, place, FRAMES[place % 8])
        sizes.append(service.facts()["clips"]["bytes"])
    assert sizes[5] > sizes[0]
    assert len(set(sizes[20:])) == 1


def test_there_is_an_end_to_sightings(service):
    for place in range(MOST_SIGHTINGS):
        look(service, place, FRAMES[place % 8], disc())
    with pytest.raises(Refusal, match="INVALID_FIELD: mask came with 32 frames already"):
        look(service, MOST_SIGHTINGS, FRAMES[0], disc())
    look(service, MOST_SIGHTINGS - 1, FRAMES[7], disc(30))
    assert int(look(service, MOST_SIGHTINGS, FRAMES[0])["begun"]) == 0


def asked(**more: torch.Tensor) -> dict[str, torch.Tensor]:
    """A question that would be answered, changed."""
    return {"clip": name(), "frame": number(0), "picture": FRAMES[0], "mask": disc(), **more}


def without(*names: str) -> dict[str, torch.Tensor]:
    return {name: tensor for name, tensor in asked().items() if name not in names}


@pytest.mark.parametrize(
    ("inputs", "reason", "words"),
    [
        (without("mask"), "UNKNOWN_CLIP", "begin again with a mask"),
        (without("frame"), "INVALID_FIELD", "frame must come with clip"),
        (without("picture"), "UNKNOWN_PICTURE", "frame 0 was not sent ahead; send its picture"),
        (asked(picture_key=key(FRAMES[0])), "INVALID_FIELD", "not both"),
        ({**without("picture"), "picture_key": key(FRAMES[7])}, "UNKNOWN_PICTURE", "send its pixels"),
        (asked(clip=name()[:15]), "INVALID_FIELD", "clip must be 16 bytes drawn at random, not (15,)"),
        (asked(clip=name().int()), "INVALID_FIELD", "clip must be 16 bytes"),
        (asked(frame=number(-1)), "INVALID_FIELD", "frame counts from 0, not -1"),
        (asked(frame=torch.zeros(1)), "INVALID_FIELD", "frame must be INT32 (1)"),
        (asked(frame=torch.zeros(2, dtype=torch.int32)), "INVALID_FIELD", "not (2,)"),
        (asked(mask=torch.zeros_like(disc())), "INVALID_FIELD", "mask selects no pixel"),
        (asked(mask=disc() * 255), "INVALID_FIELD", "mask must hold 1 inside and 0 outside"),
        (asked(mask=disc()[:50]), "INVALID_FIELD", "mask must have the picture's size, 128 x 96 pixels"),
        (asked(points=CLICK), "INVALID_FIELD", "points cannot be combined with clip"),
        (asked(box=torch.tensor([1.0, 1, 9, 9])), "INVALID_FIELD", "box cannot be combined with clip"),
        (asked(words="a thing"), "INVALID_FIELD", "words cannot be combined with clip"),
        (asked(threshold=torch.ones(1)), "INVALID_FIELD", "threshold cannot be combined with clip"),
        ({**without("clip", "mask"), "points": CLICK}, "INVALID_FIELD", "frame is used with clip only"),
        (
            {**without("clip", "mask"), "words": "a thing"},
            "INVALID_FIELD",
            "frame cannot be combined with words",
        ),
    ],
)
def test_an_invalid_frame_is_refused_with_the_reason(service, inputs, reason, words):
    refused = refusal(service, **inputs)
    assert refused.reason == reason
    assert words in refused.message
    facts = service.facts()
    assert facts["kept"]["count"] == 0 and facts["clips"]["count"] == 0


def test_a_clip_is_not_followed_backwards(service):
    follow(service, FRAMES[:4], {0: disc()})
    with pytest.raises(Refusal, match="INVALID_FIELD: frame must not be before 3"):
        look(service, 2, FRAMES[2])
    assert int(look(service, 4, FRAMES[4])["begun"]) == 0

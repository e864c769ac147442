from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import pytest
import torch

from services.sam.mask import to_square
from services.sam.memory import AttentionWindow, FrameMemory, Memory
from services.sam.sam2 import Sam2
from services.sam.tracking import Tracker
from tests.services.sam.clips import clip, disc

EVERYTHING = AttentionWindow(maps=10**6, stride=1, pointers=10**6, sightings=None)
FRAMES = clip(40)


def settings(**changed) -> dict:
    return {
        "num_maskmem": 7,
        "memory_temporal_stride_for_eval": 1,
        "max_obj_ptrs_in_encoder": 16,
        "max_cond_frames_in_attn": -1,
        **changed,
    }


@pytest.mark.parametrize(
    "changed",
    [
        {},
        {"memory_temporal_stride_for_eval": 3},
        {"memory_temporal_stride_for_eval": 5, "max_obj_ptrs_in_encoder": 4},
        {"num_maskmem": 3, "max_obj_ptrs_in_encoder": 2},
        {"max_cond_frames_in_attn": 2},
        {"max_cond_frames_in_attn": 3, "memory_temporal_stride_for_eval": 2},
    ],
)
def test_dropped_memories_are_not_attended_to(sam_bundle, changed):
    """Against a memory that drops nothing: every answer equal, bit for bit, with frames left out, sightings
    in between, and every frame asked about twice."""
    network = sam_bundle.network("sam")
    for setting, value in settings(**changed).items():
        setattr(network, setting, value)
    network.maskmem_tpos_enc.data = network.maskmem_tpos_enc.data[: network.num_maskmem]
    stills, tracker, whole = Sam2(network), Tracker(network), Tracker(network)
    whole.window = replace(EVERYTHING, corrected=tracker.window.corrected)
    little, much = Memory(), Memory()
    most = 0
    masks = {0: disc(), 6: disc(40), 7: disc(45), 19: disc(70), 20: disc(70, 30)}
    numbers = [number for number in range(40) if number not in (3, 10, 11, 12, 30)]
    for number in numbers:
        known = stills.embed(FRAMES[number])
        mask = to_square(masks[number], network.image_size) if number in masks else None
        expected, more = whole.track(known, number, much, mask=mask)
        for _ in range(2):
            seen, after = tracker.track(known, number, little.before(number), mask=mask)
            assert torch.equal(seen.logits, expected.logits) and torch.equal(seen.presence, expected.presence)
            # The first answer's memory stays, so that the second is given to the latest frame asked again.
            little = after
        much = more
        most = max(most, little.bytes)
    assert len(much.sightings) == len(masks) and len(much.others) > len(little.others)
    assert most < 0.6 * much.bytes


def test_a_memory_before_its_first_frame_is_empty():
    assert Memory(begun=3, latest=3).before(3) == Memory()


def test_the_attention_window_is_that_of_the_config():
    assert AttentionWindow.of(SimpleNamespace(**settings())) == AttentionWindow(7, 1, 16, None, corrected=7)
    assert AttentionWindow.of(SimpleNamespace(**settings(max_cond_frames_in_attn=4))).sightings == 4


def test_a_sighting_corrects_what_was_found_just_before_it():
    window, at = AttentionWindow(maps=4, stride=2, pointers=16, sightings=None, corrected=8), Memory()
    nothing = FrameMemory(None, torch.zeros(1, 4))
    for frame in range(12):
        at = at.with_frame(frame, nothing, sighting=frame == 0, window=window)
    assert list(at.with_frame(12, nothing, sighting=False, window=window).others) == list(range(1, 13))
    corrected = at.with_frame(12, nothing, sighting=True, window=window)
    assert list(corrected.others) == [1, 2, 3] and list(corrected.sightings) == [0, 12]


def test_maps_count_from_the_frame_before_and_from_every_so_manieth():
    window = AttentionWindow(maps=4, stride=3, pointers=1, sightings=None)
    # From 10: 9 as the frame before, then of every third 6 and 3; asked about again, or from 11, no others.
    assert [earlier for earlier in range(10) if window.attends_to_map(earlier, 10)] == [3, 6, 9]
    assert [earlier for earlier in range(11) if window.attends_to_map(earlier, 11)] == [6, 9, 10]

"""Tracking without Triton, by the service and by sam2's own predictor."""

from __future__ import annotations

import pytest
import torch

from benchmarks.gpu.tracking import LibraryLoop, ServiceLoop, TrackedClip
from services.bundles.bundle import Bundle
from services.sam.service import Sam
from training import tiny

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    return Bundle.open(tiny.write(tmp_path_factory.mktemp("weights")) / "sam")


def test_the_clip_shows_the_square_where_its_mask_is():
    clip = TrackedClip(96, 64, 3)
    assert len(clip.frames) == 3 and clip.frames[0].shape == (64, 96, 3)
    square = torch.tensor((230, 40, 40), dtype=torch.uint8)
    assert bool((clip.frames[0][clip.mask.bool()] == square).all())
    assert not torch.equal(clip.frames[0], clip.frames[1])


def test_every_frame_is_tracked_by_both(bundle: Bundle, monkeypatch: pytest.MonkeyPatch):
    clip = TrackedClip(96, 64, 5)
    tracked: list[int] = []
    answer = Sam.answer
    monkeypatch.setattr(
        Sam, "answer", lambda self, request: tracked.append(int(request["frame"])) or answer(self, request)
    )
    service = ServiceLoop(bundle, CPU, clip)
    assert service.seconds_a_frame() > 0 and service.seconds_a_frame() > 0
    assert tracked == 2 * list(range(5))
    assert LibraryLoop(bundle, CPU, clip).seconds_a_frame() > 0

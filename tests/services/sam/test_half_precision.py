"""What is done on a GPU, in the same precision on a processor."""

from __future__ import annotations

import pytest
import torch

from services.sam import half_precision
from services.sam.half_precision import halve_weights
from services.sam.service import Sam
from tests.services.calls import tensors
from tests.services.sam.clips import clip, disc, follow

CPU = torch.device("cpu")
CLICK = torch.tensor([[60.0, 50.0, 1.0]])


@pytest.fixture
def halved(sam_bundle, monkeypatch) -> Sam:
    monkeypatch.setattr(half_precision, "is_used_on", lambda device: True)
    return Sam(sam_bundle, CPU)


def test_a_clip_is_tracked_about_as_in_full_precision(sam_bundle, monkeypatch, halved):
    frames, masks = clip(8), {0: disc(), 4: disc(50)}
    found = follow(halved, frames, masks)
    monkeypatch.undo()
    exact = follow(Sam(sam_bundle, CPU), frames, masks)
    for one, other in zip(found, exact, strict=True):
        assert one["logits"].dtype == torch.float32
        scale = float(other["logits"].abs().max())
        torch.testing.assert_close(one["logits"], other["logits"], rtol=0, atol=0.05 * scale)
        torch.testing.assert_close(one["presence"], other["presence"], rtol=0, atol=0.02)


def test_features_take_less_memory_and_clicks_find_the_same(sam_bundle, monkeypatch, halved):
    frame = clip(1)[0]
    found = halved.answer(tensors(picture=frame, points=CLICK))
    monkeypatch.undo()
    full = Sam(sam_bundle, CPU)
    exact = full.answer(tensors(picture=frame, points=CLICK))
    assert halved.facts()["kept"]["bytes"] < full.facts()["kept"]["bytes"]
    torch.testing.assert_close(found["scores"], exact["scores"], rtol=0, atol=0.02)
    assert float((found["masks"] != exact["masks"]).float().mean()) < 0.05


def test_halved_weights_give_the_bits_of_autocast(sam_bundle):
    def embedded(halved: bool) -> tuple[torch.Tensor, ...]:
        network = sam_bundle.network("sam")
        if halved:
            halve_weights(network)
        with torch.inference_mode(), torch.autocast("cpu", torch.bfloat16):
            maps = network.forward_image(torch.linspace(-1, 1, 3 * 128 * 128).view(1, 3, 128, 128))
            coarse = maps["backbone_fpn"][-1]
            encoded = network.memory_encoder(coarse, torch.ones(1, 1, 128, 128), skip_mask_sigmoid=True)
            memory = encoded["vision_features"].flatten(2).permute(2, 0, 1)
            rows = coarse.flatten(2).permute(2, 0, 1)
            attended = network.memory_attention(
                rows, memory, torch.zeros_like(rows), torch.zeros_like(memory)
            )
        return *maps["backbone_fpn"], encoded["vision_features"], attended

    assert all(torch.equal(*pair) for pair in zip(embedded(False), embedded(True), strict=True))

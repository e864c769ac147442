"""Tracking without Triton: the service `sam`, and sam2's own predictor for clips with the same weights."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from unittest.mock import patch

import numpy as np
import torch
from sam2 import sam2_video_predictor
from torch import Tensor

from benchmarks.gpu.device import synchronise
from services.bundles.bundle import Bundle
from services.sam.preprocessing import Preprocessing, preprocess
from services.sam.service import Sam

_BASE, _PREDICTOR = "sam2.modeling.sam2_base.SAM2Base", "sam2.sam2_video_predictor.SAM2VideoPredictor"


class TrackedClip:
    """A square that moves over a ground of blurred colours, and its mask in the first frame."""

    def __init__(self, width: int, height: int, frames: int, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        side = min(width, height) // 3
        ground = np.kron(rng.integers(0, 256, (8, 8, 3)), np.ones((height // 8 + 1, width // 8 + 1, 1)))
        ground = ground[:height, :width].astype(np.uint8)
        self.frames: list[Tensor] = []
        for number in range(frames):
            picture, left = ground.copy(), number % (width - side)
            picture[side : 2 * side, left : left + side] = (230, 40, 40)
            self.frames.append(torch.from_numpy(picture))
        self.mask = torch.zeros(height, width, dtype=torch.uint8)
        self.mask[side : 2 * side, :side] = 1


class ServiceLoop:
    """The service, which gets frames ahead as the orchestrator sends them."""

    def __init__(self, bundle: Bundle, device: torch.device, clip: TrackedClip) -> None:
        self._sam, self._device, self._clip = Sam(bundle, device), device, clip
        self._lookahead: int = self._sam.facts()["ahead"]["lookahead"]

    def seconds_a_frame(self) -> float:
        """Tracks the clip; every frame's logits arrive on the host."""
        name = {"clip": torch.zeros(16, dtype=torch.uint8)}
        frames = self._clip.frames
        synchronise(self._device)
        started = time.perf_counter()
        self._answer({**name, "picture": frames[0], "mask": self._clip.mask}, 0)
        for number in range(1, len(frames) + self._lookahead):
            if number < len(frames):
                self._sam.embed({**name, "frame": _number(number), "picture": frames[number]})
            if number > self._lookahead:
                self._answer(name, number - self._lookahead)
        took = time.perf_counter() - started
        self._sam.forget(name)
        return took / len(frames)

    def _answer(self, request: dict[str, Tensor], number: int) -> None:
        self._sam.answer({**request, "frame": _number(number)})["logits"].cpu()


class LibraryLoop:
    """sam2's own predictor, as its examples use it. It has all frames on the device before it begins, so
    neither scaling nor copying them counts."""

    def __init__(self, bundle: Bundle, device: torch.device, clip: TrackedClip) -> None:
        self._device, self._clip = device, clip
        with _predictor_bundle(bundle) as changed:
            predictor: Any = changed.network("sam", device=device)
        self._predictor, settings = predictor, Preprocessing(predictor.image_size)
        with torch.inference_mode():
            self._pixels = torch.cat([preprocess(frame.to(device), settings) for frame in clip.frames])

    @torch.inference_mode()
    def seconds_a_frame(self) -> float:
        """Tracks the clip; every frame's mask arrives on the host."""
        height, width = self._clip.mask.shape
        loaded = patch.object(
            sam2_video_predictor, "load_video_frames", lambda **_: (self._pixels, height, width)
        )
        silent = patch.object(sam2_video_predictor, "tqdm", lambda frames, **_: frames)
        half = torch.autocast(self._device.type, torch.bfloat16, enabled=self._device.type == "cuda")
        synchronise(self._device)
        started = time.perf_counter()
        with loaded, silent, half:
            state = self._predictor.init_state("")
            self._predictor.add_new_mask(state, 0, 1, self._clip.mask.bool())
            for _, _, logits in self._predictor.propagate_in_video(state):
                (logits > 0).cpu()
        return (time.perf_counter() - started) / len(self._clip.frames)


@contextmanager
def _predictor_bundle(bundle: Bundle) -> Iterator[Bundle]:
    """The same weights with a config that names sam2's predictor for clips."""
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary) / "sam"
        folder.mkdir()
        for file in bundle.folder.glob("*.safetensors"):
            (folder / file.name).symlink_to(file.resolve())
        config = (bundle.folder / "config.yaml").read_text(encoding="utf-8")
        (folder / "config.yaml").write_text(config.replace(_BASE, _PREDICTOR), encoding="utf-8")
        yield Bundle.open(folder)


def _number(frame: int) -> Tensor:
    return torch.tensor([frame], dtype=torch.int32)

"""ClipMemories to follow something through, and what is asked about them."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from services.sam.service import Sam
from tests.services.sam.pictures import picture

Answer = dict[str, torch.Tensor]


def clip(frames: int, seed: int = 0) -> list[torch.Tensor]:
    """Frames uint8 (96, 128, 3): blobs of colour that glide to the left."""
    whole = picture(96, 128 + 2 * frames, seed)
    return [whole[:, 2 * frame : 2 * frame + 128].contiguous() for frame in range(frames)]


def disc(x: float = 60, y: float = 50, radius: float = 20) -> torch.Tensor:
    """A mask uint8 (96, 128)."""
    rows, columns = torch.meshgrid(torch.arange(96), torch.arange(128), indexing="ij")
    return ((columns - x) ** 2 + (rows - y) ** 2 <= radius**2).to(torch.uint8)


def name(number: int = 0) -> torch.Tensor:
    return torch.full((16,), number, dtype=torch.uint8)


def look(
    service: Sam, number: int, shown: torch.Tensor, mask: torch.Tensor | None = None, *, of: int = 0
) -> Answer:
    """What the service finds in a frame of a clip."""
    asked = {"clip": name(of), "frame": torch.tensor([number], dtype=torch.int32), "picture": shown}
    return service.answer(asked if mask is None else {**asked, "mask": mask})


def follow(
    service: Sam, frames: Sequence[torch.Tensor], masks: dict[int, torch.Tensor], *, of: int = 0
) -> list[Answer]:
    """What it finds in all of them."""
    return [look(service, number, shown, masks.get(number), of=of) for number, shown in enumerate(frames)]


def same(one: Answer, other: Answer) -> bool:
    """Whether two answers are equal, bit for bit."""
    return one.keys() == other.keys() and all(torch.equal(one[part], other[part]) for part in one)

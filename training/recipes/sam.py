"""Select and follow: SAM 2 of stock classes, 256 pixels wide, from nothing.

    python -m training.recipes.sam --minutes 120

Stills first: one click on one thing, then boxes, several clicks and corrections as well. From a third of
the budget on, every other lesson is a clip, in which a thing is shown once and followed while it
moves, hides and returns. (Clips alone make it forget stills.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from training.recipes import sam_config
from training.recipes.component import earlier, stored, write_record
from training.recipes.course import Plan, take
from training.recipes.muon import optimizer_for
from training.recipes.place import Place, place
from training.recipes.sam_lesson import as_masks, clips, small, stills
from training.recipes.sam_loss import loss_of
from training.recipes.sam_measure import click_figures, track_figures
from training.recipes.sam_prompt import Prompts, boxes, clicks, corrected, several
from training.recipes.sam_sight import answer, as_input, follow, see
from training.recipes.sam_start import Scaffold, meet, start
from training.world.address import Address

PICTURES = 8
FRAMES = 21  # of all clips of a lesson together
KINDS = ("click", "box", "click", "several", "click", "correct")
ONLY_CLICKS, ONLY_STILLS, SCAFFOLD_GONE, LONGER_CLIPS = 0.1, 0.35, 0.5, 0.8  # parts of the budget


class Pupil(nn.Module):
    """SAM 2 and the scaffold that stands around it while it learns."""

    def __init__(self, settings: dict):
        super().__init__()
        self.sam = sam_config.build(settings)
        start(self.sam)
        width = self.sam.hidden_dim
        self.scaffold = Scaffold(width // 8, width)
        # What is remembered of the picture stays a fixed projection: its input is large, and every
        # step of it would drown the mask again.
        self.sam.memory_encoder.pix_feat_proj.requires_grad_(False)
        self.register_buffer("met", torch.zeros(()))  # has the memory met the features?

    def still(self, step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        large = step % 3 == 2
        device = self.sam.device
        shown = stills("train", "sam large" if large else "sam", step * PICTURES, PICTURES, large=large)
        kind = "click" if spent < ONLY_CLICKS else KINDS[step // 2 % len(KINDS)]
        dice = Address("train", "sam prompts", step).dice()
        side, truth = self.sam.image_size, small(shown.masks).to(device)
        x = as_input(shown.pixels, side).to(device)
        seen, which = see(self.sam, x), torch.from_numpy(shown.which)
        scale, before = side / shown.pixels.shape[1], None
        if kind == "box":
            prompts = boxes(shown.masks, dice, shake=3.0 / scale)
        elif kind == "several":
            prompts = several(shown.masks, dice)
        else:
            prompts = clicks(shown.masks, dice)
        if kind == "correct":
            prompts, before = self._correct(prompts, shown, seen.only(which), scale)
        one = kind == "click"
        said = answer(self.sam, seen.only(which), prompts.inputs(scale), several=one, before=before)
        loss, overlap = loss_of(said, truth)
        if spent < SCAFFOLD_GONE:
            fine, _, coarse = seen.maps()
            masks = [truth[which == place] for place in range(PICTURES)]
            x = nn.functional.interpolate(x, size=truth.shape[-2:], mode="area")
            loss = loss + 0.6 * (1 - spent / SCAFFOLD_GONE) * self.scaffold(fine, coarse, x, masks)
        return loss, {kind: float(overlap)}

    def clip(self, step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        frames = 3 if spent < LONGER_CLIPS else 7
        shown = clips(step, FRAMES // frames, frames)
        dice = Address("train", "sam prompts", step).dice()
        side, first = self.sam.image_size, list(shown.masks[:, 0])
        given = {"mask": as_masks(shown.masks[:, 0], side)}
        if (kind := dice.choice(["click", "mask", "box"], p=(0.55, 0.3, 0.15))) != "mask":
            scale = side / shown.pixels.shape[2]
            prompts = clicks(first, dice) if kind == "click" else boxes(first, dice, shake=3.0 / scale)
            given = {"points": prompts.inputs(scale)}
        with torch.no_grad():  # how to see is learnt from stills, how to remember from clips
            seen = see(self.sam, as_input(shown.pixels.reshape(-1, *shown.pixels.shape[2:]), side))
        if not self.met:
            meet(self.sam, seen.maps()[-1])
            self.met.fill_(1)
        answers = follow(self.sam, seen, frames, length=int(dice.choice([8, 16, 24])), **given)
        graded = [
            loss_of(said, small(shown.masks[:, frame]))
            for frame, said in enumerate(answers)
            if said is not None
        ]
        loss = torch.stack([loss for loss, _ in graded]).mean()
        return loss, {"follow": float(graded[-1][1])}

    def _correct(self, prompts: Prompts, shown, seen, scale: float) -> tuple[Prompts, Tensor]:
        """Click once more where the answer to the first click was wrong."""
        with torch.no_grad():
            first = answer(self.sam, seen, prompts.inputs(scale), several=True).best()[:, None]
        size = shown.masks[0].shape
        drawn = nn.functional.interpolate(first, size=size, mode="bilinear", align_corners=False)[:, 0] > 0
        return corrected(prompts, drawn.cpu().numpy(), shown.masks), first.clamp(-32, 32)


def train(where: Place) -> None:
    torch.manual_seed(0)
    settings = sam_config.config(image_size=256, trunk=24)
    pupil, folder = Pupil(settings), where.starter / "sam"
    if where.warm:
        pupil.sam.load_state_dict(stored(folder / "model.safetensors"))
        pupil.met.fill_(1)
    pupil.to(where.device)

    def lesson(step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        spent = 0.5 + 0.5 * spent if where.warm else spent  # the first half is behind a warm start
        follows = spent > ONLY_STILLS and step % 2
        return pupil.clip(step, spent) if follows else pupil.still(step, spent)

    def watch(averaged: Pupil) -> Mapping[str, float]:
        figures = click_figures(averaged.sam, "watch", 40)
        return {**figures, **track_figures(averaged.sam, "watch", 6)}

    optimizer = optimizer_for(pupil, matrix_rate=0.01, vector_rate=6e-4)
    plan = Plan(where.budget, flat=0.45, average=0.99, watch_every=12)
    averaged, record = take(where.training / "sam", pupil, optimizer, lesson, plan, watch)
    write(averaged.sam, settings, folder, {**record, **earlier(folder, where.warm)})


def write(sam: SAM2Base, settings: dict, folder: Path, record: dict) -> None:
    sam_config.write(settings, folder / "config.yaml")
    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in sam.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    write_record(folder, record)


if __name__ == "__main__":
    train(place(__doc__, minutes=120))

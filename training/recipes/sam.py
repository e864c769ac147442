"""Trains SAM 2 of stock classes, 256 pixels wide, from random weights: segmentation and tracking.

    python -m training.recipes.sam --minutes 120

Stills come first: one click on one thing, then also boxes, several clicks and corrections. From a third of
the budget on, every other step is a batch of clips, in which a thing is given in the first frame and tracked
while it moves, is hidden and returns. (Clips alone would make it forget stills.)
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from sam2.modeling.sam2_base import SAM2Base
from torch import Tensor, nn

from training.recipes import sam_config
from training.recipes.component import earlier, read_tensors, write_record
from training.recipes.muon import optimizer_for
from training.recipes.options import RecipeOptions, parse_options
from training.recipes.sam_forward import features_of, network_input, predict, track
from training.recipes.sam_init import AuxiliaryHeads, fit_memory, initialise
from training.recipes.sam_loss import loss_of
from training.recipes.sam_measure import click_figures, track_figures
from training.recipes.sam_prompt import Prompts, boxes, clicks, multiple_clicks, with_correction
from training.recipes.sam_samples import clips, coverage, mask_prompts, stills
from training.recipes.training_loop import TrainingPlan, train_network
from training.world.address import Address

PICTURES = 8
FRAMES = 21  # of all clips of a step together
KINDS = ("click", "box", "click", "several", "click", "correct")
ONLY_CLICKS, ONLY_STILLS, AUXILIARY_UNTIL, LONGER_CLIPS = 0.1, 0.35, 0.5, 0.8  # parts of the budget


class SamTraining(nn.Module):
    """SAM 2 with the auxiliary heads of its training."""

    def __init__(self, settings: dict):
        super().__init__()
        self.sam = sam_config.build(settings)
        initialise(self.sam)
        width = self.sam.hidden_dim
        self.auxiliary = AuxiliaryHeads(width // 8, width)
        # The projection of picture features in the memory encoder stays fixed: its input is large, and
        # training it would outweigh the mask again.
        self.sam.memory_encoder.pix_feat_proj.requires_grad_(False)
        self.register_buffer("memory_fitted", torch.zeros(()))  # 1 after `fit_memory`

    def still(self, step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        large = step % 3 == 2
        device = self.sam.device
        sample = stills("train", "sam large" if large else "sam", step * PICTURES, PICTURES, large=large)
        kind = "click" if spent < ONLY_CLICKS else KINDS[step // 2 % len(KINDS)]
        rng = Address("train", "sam prompts", step).rng()
        side, truth = self.sam.image_size, coverage(sample.masks).to(device)
        x = network_input(sample.pixels, side).to(device)
        features, which = features_of(self.sam, x), torch.from_numpy(sample.which)
        scale, before = side / sample.pixels.shape[1], None
        if kind == "box":
            prompts = boxes(sample.masks, rng, shake=3.0 / scale)
        elif kind == "several":
            prompts = multiple_clicks(sample.masks, rng)
        else:
            prompts = clicks(sample.masks, rng)
        if kind == "correct":
            prompts, before = self._correct(prompts, sample, features.only(which), scale)
        one = kind == "click"
        prediction = predict(
            self.sam, features.only(which), prompts.inputs(scale), several=one, before=before
        )
        loss, overlap = loss_of(prediction, truth)
        if spent < AUXILIARY_UNTIL:
            fine, _, coarse = features.maps()
            masks = [truth[which == place] for place in range(PICTURES)]
            x = nn.functional.interpolate(x, size=truth.shape[-2:], mode="area")
            loss = loss + 0.6 * (1 - spent / AUXILIARY_UNTIL) * self.auxiliary(fine, coarse, x, masks)
        return loss, {kind: float(overlap)}

    def clip(self, step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        frames = 3 if spent < LONGER_CLIPS else 7
        sample = clips(step, FRAMES // frames, frames)
        rng = Address("train", "sam prompts", step).rng()
        side, first = self.sam.image_size, list(sample.masks[:, 0])
        prompt = {"mask": mask_prompts(sample.masks[:, 0], side)}
        if (kind := rng.choice(["click", "mask", "box"], p=(0.55, 0.3, 0.15))) != "mask":
            scale = side / sample.pixels.shape[2]
            prompts = clicks(first, rng) if kind == "click" else boxes(first, rng, shake=3.0 / scale)
            prompt = {"points": prompts.inputs(scale)}
        with torch.no_grad():  # features are learnt from stills, memory from clips
            features = features_of(
                self.sam, network_input(sample.pixels.reshape(-1, *sample.pixels.shape[2:]), side)
            )
        if not self.memory_fitted:
            fit_memory(self.sam, features.maps()[-1])
            self.memory_fitted.fill_(1)
        predictions = track(self.sam, features, frames, length=int(rng.choice([8, 16, 24])), **prompt)
        graded = [
            loss_of(prediction, coverage(sample.masks[:, frame]))
            for frame, prediction in enumerate(predictions)
            if prediction is not None
        ]
        loss = torch.stack([loss for loss, _ in graded]).mean()
        return loss, {"track": float(graded[-1][1])}

    def _correct(self, prompts: Prompts, sample, features, scale: float) -> tuple[Prompts, Tensor]:
        """The prompts with one more click where the prediction was wrong, and its logits."""
        with torch.no_grad():
            first = predict(self.sam, features, prompts.inputs(scale), several=True).best()[:, None]
        size = sample.masks[0].shape
        masks = nn.functional.interpolate(first, size=size, mode="bilinear", align_corners=False)[:, 0] > 0
        return with_correction(prompts, masks.cpu().numpy(), sample.masks), first.clamp(-32, 32)


def train(options: RecipeOptions) -> None:
    torch.manual_seed(0)
    settings = sam_config.config(image_size=256, trunk=24)
    training, folder = SamTraining(settings), options.starter / "sam"
    if options.warm:
        training.sam.load_state_dict(read_tensors(folder / "model.safetensors"))
        training.memory_fitted.fill_(1)
    training.to(options.device)

    def loss_at(step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        spent = 0.5 + 0.5 * spent if options.warm else spent  # a warm start skips the first half
        tracks = spent > ONLY_STILLS and step % 2
        return training.clip(step, spent) if tracks else training.still(step, spent)

    def validate(averaged: SamTraining) -> Mapping[str, float]:
        figures = click_figures(averaged.sam, "validation", 40)
        return {**figures, **track_figures(averaged.sam, "validation", 6)}

    optimizer = optimizer_for(training, matrix_rate=0.01, vector_rate=6e-4)
    plan = TrainingPlan(options.budget, flat=0.45, average=0.99, validate_every=12)
    averaged, record = train_network(options.training / "sam", training, optimizer, loss_at, plan, validate)
    write(averaged.sam, settings, folder, {**record, **earlier(folder, options.warm)})


def write(sam: SAM2Base, settings: dict, folder: Path, record: dict) -> None:
    sam_config.write(settings, folder / "config.yaml")
    state = {name: tensor.detach().cpu().half().contiguous() for name, tensor in sam.state_dict().items()}
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    write_record(folder, record)


if __name__ == "__main__":
    train(parse_options(__doc__, minutes=120))

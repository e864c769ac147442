"""Trains CLIPSeg of stock classes, from random weights, as the text head of the SAM bundle.

    python -m training.recipes.sam_text --minutes 100

First the image tower learns to vision_states (`text_sight`). Then every picture is batch about several times,
for things that are there and for things that are not, so that the words matter: the same pixels must answer
differently.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegTextConfig,
    CLIPSegVisionConfig,
    CLIPTokenizer,
    ViTImageProcessorPil,
)

from training.recipes import tokenizer as tokens
from training.recipes.component import earlier, read_tensors, write_network
from training.recipes.muon import optimizer_for
from training.recipes.options import RecipeOptions, parse_options
from training.recipes.patch_classes import PatchClassifier
from training.recipes.sam_forward import network_input
from training.recipes.text_measure import text_figures
from training.recipes.text_samples import PhraseBatch, phrase_batch
from training.recipes.training_loop import TrainingPlan, train_network

PICTURES, PHRASES = 10, 4
FIRST_PICTURES = 16  # of a step in the first part, without phrases
ONLY_PATCHES = 0.25  # part of the budget
PATCH_WEIGHT = 3.0  # of the patch loss once there are phrases, which alone would blur the patches again
SUREST = 64  # pixels of a picture that count for an absent thing
SIDE = 128
_WIDTH = 96


def network(tokenizer: CLIPTokenizer) -> CLIPSegForImageSegmentation:
    text = CLIPSegTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=_WIDTH,
        intermediate_size=2 * _WIDTH,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=tokens.LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = CLIPSegVisionConfig(
        hidden_size=128,
        intermediate_size=256,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=SIDE,
        patch_size=8,
    )
    settings = CLIPSegConfig(
        text_config=text.to_dict(),
        vision_config=vision.to_dict(),
        projection_dim=_WIDTH,
        extract_layers=[1, 2, 3],
        reduce_dim=64,
        decoder_num_attention_heads=4,
        decoder_intermediate_size=256,
        conditional_layer=0,
        use_complex_transposed_convolution=True,
    )
    model = CLIPSegForImageSegmentation(settings)
    _start(model)
    return model


@torch.no_grad()
def _start(model: CLIPSegForImageSegmentation) -> None:
    """Initialise: stock weights give logits of several hundred (decoder) and too small embeddings."""
    for part in model.decoder.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    for name, table in model.clip.named_parameters():
        if "text_model" in name and "embedding" in name:
            torch.nn.init.normal_(table, std=0.2 if "token" in name else 0.05)
        if "patch_embedding" in name:
            torch.nn.init.normal_(table, std=0.08)


def vision_states(model: CLIPSegForImageSegmentation, x: Tensor) -> tuple[Tensor, ...]:
    """The image tower's hidden states of pictures (n, 3, side, side): one (n, 1 + patches, width) per
    layer."""
    return model.clip.vision_model(pixel_values=x, output_hidden_states=True).hidden_states


def logits_of(
    model: CLIPSegForImageSegmentation, states: tuple[Tensor, ...], words: Tensor, which: Tensor
) -> Tensor:
    """Logits (n, side, side) of n phrases; `which` is the index of each phrase's picture.

    The stock forward freezes both towers; this is the same computation with gradients, and runs the image
    tower once per picture.
    """
    activations = tuple(states[layer + 1][which] for layer in model.extract_layers)
    text = model.clip.get_text_features(input_ids=words).pooler_output
    logits = model.decoder(activations, text).logits
    return F.interpolate(logits[:, None].float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)[
        :, 0
    ]


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Cross-entropy per pixel, plus the Dice loss of present things, plus the loss of the highest logits of
    absent things, which hardly count among all pixels."""
    chance, present = logits.sigmoid(), (truth.flatten(1).sum(1) > 0).float()
    shared, both = (chance * truth).sum((1, 2)), chance.sum((1, 2)) + truth.sum((1, 2))
    dice = (1 - (2 * shared + 10) / (both + 10)) * present
    wrong = F.softplus(logits.flatten(1).topk(SUREST).values).mean(1) * (1 - present)
    whole = dice.sum() / present.sum().clamp(min=1) + 0.25 * wrong.sum() / (1 - present).sum().clamp(min=1)
    return 4 * F.binary_cross_entropy_with_logits(logits, truth) + whole


class TextHeadTraining(nn.Module):
    """The text head, with the patch classifier of its training."""

    def __init__(self, head: CLIPSegForImageSegmentation) -> None:
        super().__init__()
        self.head, self.patches = head, PatchClassifier(head.config.vision_config.hidden_size)

    def patch_loss(self, states: tuple[Tensor, ...], names: Tensor) -> Tensor:
        """`states` as `vision_states` gives it; `names` (n, h, w) says what lies options."""
        return self.patches.loss(states[-1][:, 1:], names.to(states[-1].device))


def train(options: RecipeOptions) -> None:
    torch.manual_seed(0)
    folder = options.starter / "sam" / "text_head"
    tokens.write(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    model = network(tokenizer)
    if options.warm:
        model.load_state_dict(read_tensors(folder / "model.safetensors"))
    training = TextHeadTraining(model).to(options.device)

    def loss_at(step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        if not options.warm and spent < ONLY_PATCHES:
            batch = phrase_batch("train", step, FIRST_PICTURES, 0)
            patches = training.patch_loss(_states(batch), torch.from_numpy(batch.names))
            return patches, {"patches": float(patches.detach())}
        batch = phrase_batch("train", step, PICTURES, PHRASES)
        words = torch.tensor([tokens.token_ids(tokenizer, phrase) for phrase in batch.phrases])
        truth = torch.from_numpy(batch.truth).float()
        if truth.shape[-1] != SIDE:
            truth = F.adaptive_avg_pool2d(truth, SIDE)
        states = _states(batch)
        parts = (part.to(options.device) for part in (words, torch.from_numpy(batch.which)))
        with torch.autocast(options.device.type, torch.bfloat16):
            logits = logits_of(model, states, *parts)
        patches = training.patch_loss(states, torch.from_numpy(batch.names))
        loss = loss_of(logits, truth.to(options.device)) + PATCH_WEIGHT * patches
        return loss, {"patches": float(patches.detach())}

    def _states(batch: PhraseBatch) -> tuple[Tensor, ...]:
        x = network_input(batch.pixels, SIDE).to(options.device)
        with torch.autocast(options.device.type, torch.bfloat16):
            return vision_states(model, x)

    def validate(averaged: TextHeadTraining) -> Mapping[str, float]:
        return text_figures(averaged.head, tokenizer, "validation", 60)

    optimizer = optimizer_for(training, matrix_rate=0.01, vector_rate=8e-4)
    plan = TrainingPlan(options.budget, flat=0.5, validate_every=4)
    averaged, record = train_network(
        options.training / "sam_text", training, optimizer, loss_at, plan, validate
    )
    write_network(averaged.head, folder, {**record, **earlier(folder, options.warm)})
    size = {"height": SIDE, "width": SIDE}
    colours = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    ViTImageProcessorPil(size=size, **colours).save_pretrained(folder)


if __name__ == "__main__":
    train(parse_options(__doc__, minutes=100))

"""Words to masks: CLIPSeg of stock classes, from nothing, as the text head of the SAM bundle.

    python -m training.recipes.sam_text --minutes 100

First the image tower learns to see (`text_sight`). Then every picture is asked about several times, for
things that are there and for things that are not, so that the words matter: the same pixels must answer
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
from training.recipes.component import earlier, keep, stored
from training.recipes.course import Plan, take
from training.recipes.muon import optimizer_for
from training.recipes.place import Place, place
from training.recipes.sam_sight import as_input
from training.recipes.text_lesson import Asked, ask
from training.recipes.text_measure import text_figures
from training.recipes.text_sight import Sight

PICTURES, PHRASES = 10, 4
LOOKED_AT = 16  # pictures of a step before there are words
ONLY_SIGHT = 0.25  # part of the budget
STILL_SIGHT = 3.0  # how much it counts once there are words: they alone would blur it again
SUREST = 64  # pixels of a picture in which an absent thing is looked for
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
    """The stock start makes logits of several hundred (decoder) and embeddings too quiet to learn from."""
    for part in model.decoder.modules():
        if hasattr(part, "reset_parameters"):
            part.reset_parameters()
    for name, table in model.clip.named_parameters():
        if "text_model" in name and "embedding" in name:
            torch.nn.init.normal_(table, std=0.2 if "token" in name else 0.05)
        if "patch_embedding" in name:
            torch.nn.init.normal_(table, std=0.08)


def see(model: CLIPSegForImageSegmentation, x: Tensor) -> tuple[Tensor, ...]:
    """What the image tower makes of pictures (n, 3, side, side), layer by layer: (n, 1 + patches, width)."""
    return model.clip.vision_model(pixel_values=x, output_hidden_states=True).hidden_states


def logits_of(
    model: CLIPSegForImageSegmentation, seen: tuple[Tensor, ...], words: Tensor, which: Tensor
) -> Tensor:
    """Logits (n, side, side) of n phrases; `which` says in which of the pictures seen each is looked for.

    The stock forward freezes both towers; this is the same computation with gradients, and looks at a
    picture once however often it is asked about.
    """
    activations = tuple(seen[layer + 1][which] for layer in model.extract_layers)
    meaning = model.clip.get_text_features(input_ids=words).pooler_output
    logits = model.decoder(activations, meaning).logits
    return F.interpolate(logits[:, None].float(), size=(SIDE, SIDE), mode="bilinear", align_corners=False)[
        :, 0
    ]


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Pixel by pixel, and as a whole: of a thing that is there how much of it is found; of one that is not
    how sure the surest pixels are, for a few of them are too many and hardly count among all."""
    chance, present = logits.sigmoid(), (truth.flatten(1).sum(1) > 0).float()
    shared, both = (chance * truth).sum((1, 2)), chance.sum((1, 2)) + truth.sum((1, 2))
    dice = (1 - (2 * shared + 10) / (both + 10)) * present
    wrong = F.softplus(logits.flatten(1).topk(SUREST).values).mean(1) * (1 - present)
    whole = dice.sum() / present.sum().clamp(min=1) + 0.25 * wrong.sum() / (1 - present).sum().clamp(min=1)
    return 4 * F.binary_cross_entropy_with_logits(logits, truth) + whole


class Pupil(nn.Module):
    """The text head, and the scaffold that stands around it while it learns."""

    def __init__(self, head: CLIPSegForImageSegmentation) -> None:
        super().__init__()
        self.head, self.sight = head, Sight(head.config.vision_config.hidden_size)

    def sight_loss(self, seen: tuple[Tensor, ...], names: Tensor) -> Tensor:
        """`seen` as `see` gives it; `names` (n, h, w) says what lies where."""
        return self.sight.loss(seen[-1][:, 1:], names.to(seen[-1].device))


def train(where: Place) -> None:
    torch.manual_seed(0)
    folder = where.starter / "sam" / "text_head"
    tokens.write(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    model = network(tokenizer)
    if where.warm:
        model.load_state_dict(stored(folder / "model.safetensors"))
    pupil = Pupil(model).to(where.device)

    def lesson(step: int, spent: float) -> tuple[Tensor, dict[str, float]]:
        if not where.warm and spent < ONLY_SIGHT:
            shown = ask("train", step, LOOKED_AT, 0)
            sight = pupil.sight_loss(_seen(shown), torch.from_numpy(shown.names))
            return sight, {"sight": float(sight.detach())}
        asked = ask("train", step, PICTURES, PHRASES)
        words = torch.tensor([tokens.token_ids(tokenizer, phrase) for phrase in asked.phrases])
        truth = torch.from_numpy(asked.truth).float()
        if truth.shape[-1] != SIDE:
            truth = F.adaptive_avg_pool2d(truth, SIDE)
        seen = _seen(asked)
        parts = (part.to(where.device) for part in (words, torch.from_numpy(asked.which)))
        with torch.autocast(where.device.type, torch.bfloat16):
            logits = logits_of(model, seen, *parts)
        sight = pupil.sight_loss(seen, torch.from_numpy(asked.names))
        loss = loss_of(logits, truth.to(where.device)) + STILL_SIGHT * sight
        return loss, {"sight": float(sight.detach())}

    def _seen(shown: Asked) -> tuple[Tensor, ...]:
        x = as_input(shown.pixels, SIDE).to(where.device)
        with torch.autocast(where.device.type, torch.bfloat16):
            return see(model, x)

    def watch(averaged: Pupil) -> Mapping[str, float]:
        return text_figures(averaged.head, tokenizer, "watch", 60)

    optimizer = optimizer_for(pupil, matrix_rate=0.01, vector_rate=8e-4)
    plan = Plan(where.budget, flat=0.5, watch_every=4)
    averaged, record = take(where.training / "sam_text", pupil, optimizer, lesson, plan, watch)
    keep(averaged.head, folder, {**record, **earlier(folder, where.warm)})
    size = {"height": SIDE, "width": SIDE}
    looks = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    ViTImageProcessorPil(size=size, **looks).save_pretrained(folder)


if __name__ == "__main__":
    train(place(__doc__, minutes=100))

"""Words to masks: CLIPSeg of stock classes, from nothing, as the text head of the SAM bundle.

    python -m weights.recipes.sam_text --minutes 40

Every picture is asked about several times, for things that are there and for things that are not, so
that the words matter: the same pixels must answer differently.
"""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    CLIPSegConfig,
    CLIPSegForImageSegmentation,
    CLIPSegTextConfig,
    CLIPSegVisionConfig,
    CLIPTokenizer,
    ViTImageProcessorPil,
)

from weights.recipes import tokenizer as tokens
from weights.recipes.component import earlier, keep, stored
from weights.recipes.course import Plan, take
from weights.recipes.muon import optimizer_for
from weights.recipes.place import Place, place
from weights.recipes.sam_sight import as_input
from weights.recipes.text_lesson import ask
from weights.recipes.text_measure import text_figures

PICTURES, PHRASES = 10, 4
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


def logits_of(model: CLIPSegForImageSegmentation, x: Tensor, words: Tensor, which: Tensor) -> Tensor:
    """Logits (n, side, side) of n phrases; `which` says in which of the pictures `x` each is looked for.

    The stock forward freezes both towers; this is the same computation with gradients, and looks at a
    picture once however often it is asked about.
    """
    seen = model.clip.vision_model(pixel_values=x, output_hidden_states=True).hidden_states
    activations = tuple(seen[layer + 1][which] for layer in model.extract_layers)
    meaning = model.clip.get_text_features(input_ids=words).pooler_output
    logits = model.decoder(activations, meaning).logits
    return F.interpolate(logits[:, None].float(), size=x.shape[-2:], mode="bilinear", align_corners=False)[
        :, 0
    ]


def loss_of(logits: Tensor, truth: Tensor) -> Tensor:
    """Pixel by pixel and as a whole; an absent thing counts by its pixels alone."""
    chance, present = logits.sigmoid(), (truth.flatten(1).sum(1) > 0).float()
    shared, whole = (chance * truth).sum((1, 2)), chance.sum((1, 2)) + truth.sum((1, 2))
    dice = (1 - (2 * shared + 10) / (whole + 10)) * present
    return 4 * F.binary_cross_entropy_with_logits(logits, truth) + dice.sum() / present.sum().clamp(min=1)


def train(where: Place) -> None:
    torch.manual_seed(0)
    folder = where.starter / "sam" / "text_head"
    tokens.write(folder)
    tokenizer = CLIPTokenizer.from_pretrained(folder)
    model = network(tokenizer)
    if where.warm:
        model.load_state_dict(stored(folder / "model.safetensors"))
    model.to(where.device)

    def lesson(step: int, _: float) -> tuple[Tensor, dict[str, float]]:
        asked = ask("train", step, PICTURES, PHRASES)
        words = torch.tensor([tokens.token_ids(tokenizer, phrase) for phrase in asked.phrases])
        x, truth = as_input(asked.pixels, SIDE), torch.from_numpy(asked.truth).float()
        if truth.shape[-1] != SIDE:
            truth = F.adaptive_avg_pool2d(truth, SIDE)
        parts = (part.to(where.device) for part in (x, words, torch.from_numpy(asked.which)))
        with torch.autocast(where.device.type, torch.bfloat16):
            logits = logits_of(model, *parts)
        return loss_of(logits, truth.to(where.device)), {}

    def watch(averaged: CLIPSegForImageSegmentation) -> Mapping[str, float]:
        return text_figures(averaged, tokenizer, "watch", 60)

    optimizer = optimizer_for(model, matrix_rate=0.01, vector_rate=8e-4)
    plan = Plan(where.budget, flat=0.45, watch_every=4)
    averaged, record = take(where.training / "sam_text", model, optimizer, lesson, plan, watch)
    keep(averaged, folder, {**record, **earlier(folder, where.warm)})
    size = {"height": SIDE, "width": SIDE}
    looks = {"image_mean": [0.485, 0.456, 0.406], "image_std": [0.229, 0.224, 0.225]}
    ViTImageProcessorPil(size=size, **looks).save_pretrained(folder)


if __name__ == "__main__":
    train(place(__doc__, minutes=40))

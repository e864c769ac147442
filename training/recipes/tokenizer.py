"""The tokenizer: byte-level BPE over the sentences of the world, in the files stock CLIPTokenizer reads.

    python -m training.recipes.tokenizer

Words that the world never uses are split into letters, so any prompt has tokens.
"""

from __future__ import annotations

import json
from pathlib import Path

from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, trainers
from transformers import CLIPTokenizer

from training.recipes.options import RecipeOptions, parse_options
from training.world.address import Address
from training.world.edit import an_edit, some_versions
from training.world.hue import COLOURS
from training.world.phrase import with_article
from training.world.shape import SHAPES

LENGTH = 32  # tokens of a prompt, with its two ends
_START, _END = "<|startoftext|>", "<|endoftext|>"
_ALSO = (
    "background",
    "the background",
    "fill the hole with the background",
    "a picture of shapes",
    "select the object",
    "all the objects",
    "left right top bottom small large",
)


def sentences() -> list[str]:
    """The corpus of the tokenizer: instructions, phrases, and a few other words."""
    sentences = []
    for index in range(3000):
        address = Address("train", "sentences", index)
        sentences.append(an_edit(address.rng("edit"), some_versions(address).things).instruction)
    named = [with_article(f"{colour} {shape}") for colour in COLOURS for shape in SHAPES]
    return sentences + 20 * named + 20 * list(_ALSO)


def write(folder: Path) -> None:
    """Write `vocab.json`, `merges.txt` and `tokenizer_config.json`."""
    merges = _merges(sentences())
    letters = sorted(pre_tokenizers.ByteLevel.alphabet())
    words = ["".join(merge) for merge in merges]
    vocabulary = dict.fromkeys([*letters, *(letter + "</w>" for letter in letters), *words, _START, _END])
    folder.mkdir(parents=True, exist_ok=True)
    ids = {word: number for number, word in enumerate(vocabulary)}
    (folder / "vocab.json").write_text(json.dumps(ids, ensure_ascii=False))
    lines = ["#version: 0.2", *(" ".join(merge) for merge in merges)]
    (folder / "merges.txt").write_text("\n".join(lines) + "\n")
    settings = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": LENGTH,
        "bos_token": _START,
        "eos_token": _END,
        "unk_token": _END,
        "pad_token": _END,
        "whole_words": True,  # a word that takes several tokens is not known
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings, indent=2) + "\n")


def token_ids(tokenizer: CLIPTokenizer, text: str) -> list[int]:
    """The ids of a prompt, padded to the full length."""
    return tokenizer(text, padding="max_length", max_length=LENGTH, truncation=True).input_ids


def _merges(corpus: list[str]) -> list[tuple[str, str]]:
    tokenizer = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token=_END))
    tokenizer.normalizer = normalizers.Lowercase()
    split = [pre_tokenizers.WhitespaceSplit(), pre_tokenizers.ByteLevel(add_prefix_space=False)]
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(split)
    trainer = trainers.BpeTrainer(
        vocab_size=900, min_frequency=2, end_of_word_suffix="</w>", show_progress=False
    )
    tokenizer.train_from_iterator(corpus, trainer)
    merges = json.loads(tokenizer.to_str())["model"]["merges"]
    return [tuple(merge.split(" ")) if isinstance(merge, str) else tuple(merge) for merge in merges]


def train(options: RecipeOptions) -> None:
    write(options.starter / "ip2p" / "tokenizer")


if __name__ == "__main__":
    train(parse_options(__doc__, minutes=0))

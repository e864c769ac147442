"""A real CLIP tokenizer with a vocabulary of a few hundred: every byte, and the words of simple edits.

A word that is not known is spelled in bytes, so any text can be said.
"""

from __future__ import annotations

import json
from pathlib import Path

# fmt: off
WORDS = (
    "make", "it", "the", "a", "red", "green", "blue", "yellow", "orange", "purple", "pink", "white",
    "black", "circle", "square", "triangle", "star", "ring", "cross", "heart", "big", "small", "remove",
    "turn", "into", "and", "change", "color", "of", "sky", "dress", "car", "snow", "fire",
)
# fmt: on
LENGTH = 20  # tokens a text may have, with its two ends
START, END = "<|startoftext|>", "<|endoftext|>"


def write(folder: Path, length: int = LENGTH) -> int:
    """Write the files of a tokenizer for texts of so many tokens; gives how many tokens there are."""
    from tokenizers.pre_tokenizers import ByteLevel

    letters = sorted(ByteLevel.alphabet())
    merges = _merges()
    tokens = [
        *letters,
        *(letter + "</w>" for letter in letters),
        *("".join(pair) for pair in merges),
        START,
        END,
    ]
    folder.mkdir(parents=True, exist_ok=True)
    vocabulary = {token: number for number, token in enumerate(tokens)}
    rules = "#version: 0.2\n" + "".join(f"{left} {right}\n" for left, right in merges)
    (folder / "vocab.json").write_text(json.dumps(vocabulary, ensure_ascii=False), encoding="utf-8")
    (folder / "merges.txt").write_text(rules, encoding="utf-8")
    config = {
        "tokenizer_class": "CLIPTokenizer",
        "model_max_length": length,
        "bos_token": START,
        "eos_token": END,
        "unk_token": END,
        "pad_token": END,
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return len(tokens)


def _merges() -> list[tuple[str, str]]:
    """Rules that build every word from its left end, letter by letter."""
    rules: dict[tuple[str, str], None] = {}
    for word in WORDS:
        letters = [*word[:-1], word[-1] + "</w>"]
        built = letters[0]
        for letter in letters[1:]:
            rules[(built, letter)] = None
            built += letter
    return list(rules)

"""Presets: prompts for common fills. A prompt given besides a preset replaces the preset's."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Preset:
    """A prompt and a negative prompt."""

    prompt: str
    negative_prompt: str


PRESETS = {
    "mural": Preset(
        "an old wall painting in good condition, mineral pigments on plaster, even brushwork",
        "cracks, flaking paint, stains, text, frame, photograph of people",
    ),
    "photograph": Preset(
        "an old photograph in good condition, natural grain, sharp details",
        "scratches, dust, creases, tears, stains, text, border",
    ),
    "paper": Preset(
        "clean old paper, even tone, fine fibres", "stains, tears, folds, mould, holes, handwriting, text"
    ),
    "background": Preset("background", ""),
}

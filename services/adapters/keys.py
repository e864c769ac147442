"""Parses the keys of adapters' tensors, which name a layer and a part of it in one of four layouts.

peft       base_model.model.LAYER.lora_A.weight and .lora_B.weight; an adapter's name may stand before
           the last dot
diffusers  unet.LAYER.lora_A.weight and .lora_B.weight, or .lora.down.weight and .lora.up.weight, and
           .alpha; in old files ATTENTION.processor.to_q_lora.down.weight. The `unet.` may be missing
kohya      lora_unet_LAYER.lora_down.weight, .lora_up.weight and .alpha, LAYER with _ for every dot
flat       LAYER.weight and LAYER.bias, the network's own names for its own weights
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

_KOHYA = re.compile(r"lora_(unet|te\d?)_(?P<layer>\w+)\.(?P<part>lora_down\.weight|lora_up\.weight|alpha)")
_PREFIX = re.compile(r"(?P<peft>base_model\.model\.)|unet\.")
_LOW_RANK = re.compile(
    r"(?P<layer>.+)\.(?P<part>lora_A|lora_B|lora\.down|lora\.up)(?P<name>\.[^.]+)?\.weight", re.DOTALL
)
_OLD = re.compile(
    r"(?P<attention>.+?)(\.processor)?\.to_(?P<which>q|k|v|out)_lora\.(?P<part>down|up)\.weight", re.DOTALL
)
_OWN = re.compile(r"(?P<layer>.+)\.(?P<part>weight|bias|alpha)", re.DOTALL)
# Other ways to be small: what they hold would not be LoRA if it were added as LoRA.
_FOREIGN = re.compile(r"lora_magnitude_vector|dora_scale|lora_mid|hada_w|lokr_w|lora_[AB](\.[^.]+)?\.bias$")
_PARTS = {
    "lora_A": "down",
    "lora_B": "up",
    "lora.down": "down",
    "lora.up": "up",
    "lora_down.weight": "down",
    "lora_up.weight": "up",
}


@dataclass(frozen=True)
class ParsedKey:
    """The part a key names: `down`, `up` or `alpha` of a LoRA, or a layer's own `weight` or `bias`."""

    layout: str
    layer: str
    part: str


class KeyParser:
    """Parses keys for a network with these modules."""

    def __init__(self, modules: Iterable[str]) -> None:
        self._by_underscores = {name.replace(".", "_"): name for name in modules}

    def parse(self, key: str) -> ParsedKey | None:
        """The layer and part that a key names, None in no known layout; the layer need not exist."""
        kohya = _KOHYA.fullmatch(key)
        if kohya:
            flattened = kohya["layer"] if kohya[1] == "unet" else key
            layer = self._by_underscores.get(flattened, flattened)
            return ParsedKey("kohya", layer, _PARTS.get(kohya["part"], kohya["part"]))
        prefix = _PREFIX.match(key)
        rest = key[prefix.end() :] if prefix else key
        if low_rank := _LOW_RANK.fullmatch(rest):
            peft = bool(prefix and prefix["peft"]) or low_rank["name"] is not None
            return ParsedKey("peft" if peft else "diffusers", low_rank["layer"], _PARTS[low_rank["part"]])
        if old := _OLD.fullmatch(rest):
            which = "to_out.0" if old["which"] == "out" else f"to_{old['which']}"
            return ParsedKey("diffusers", f"{old['attention']}.{which}", old["part"])
        if own := _OWN.fullmatch(rest):
            return ParsedKey("diffusers" if own["part"] == "alpha" else "flat", own["layer"], own["part"])
        return None


def is_foreign(key: str) -> bool:
    """True if the key belongs to a kind of adapter that is neither plain LoRA nor a network's own weights."""
    return _FOREIGN.search(key) is not None

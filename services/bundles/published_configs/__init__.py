"""Configs of published weights, which a checkpoint file does not contain.

`ip2p` and `sd2_inpaint` are bundles without weights and tokenizers; a tokenizer_config.json is there if other
weights use the same vocabulary with other settings. The model configs of SAM 2 are in its own package.
"""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from services.bundles.errors import BundleError

IP2P = Path(__file__).parent / "ip2p"
SD2_INPAINT = Path(__file__).parent / "sd2_inpaint"
SAM2 = tuple(f"sam2.1_hiera_{size}" for size in ("t", "s", "b+", "l")) + tuple(
    f"sam2_hiera_{size}" for size in ("t", "s", "b+", "l")
)

# sam2's builder adds these to its configs: of one mask and three candidates for a clear prompt, the
# decoder takes the one mask only if it is stable.
_STABLE = {
    "dynamic_multimask_via_stability": True,
    "dynamic_multimask_stability_delta": 0.05,
    "dynamic_multimask_stability_thresh": 0.98,
}


def of(name: str) -> Path:
    """The configs of a published bundle, for example `ip2p`."""
    folder = Path(__file__).parent / name
    if not (folder / "model_index.json").is_file():
        raise BundleError(f"there are no configs of a published {name}; name some by --config")
    return folder


def sam2_config(name: str) -> dict[str, Any]:
    """The `config.yaml` of a bundle for published weights, for example `sam2.1_hiera_t`."""
    from omegaconf import OmegaConf

    if name not in SAM2:
        raise BundleError(f"no published SAM 2 is called {name!r}; there are {', '.join(SAM2)}")
    # Found without importing it, because an import of sam2 claims hydra for itself.
    package = importlib.util.find_spec("sam2")
    if package is None or not package.submodule_search_locations:
        raise BundleError("the package sam2 is not installed, and its configs are needed: run `make install`")
    file = Path(package.submodule_search_locations[0]) / "configs" / name.partition("_")[0] / f"{name}.yaml"
    content: Any = OmegaConf.to_container(OmegaConf.load(file), resolve=False)
    return {"model": {**content["model"], "sam_mask_decoder_extra_args": _STABLE}}

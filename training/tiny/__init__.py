"""Random bundles of every component, small enough to be made in a test.

    python -m training.tiny FOLDER [--seed 0]

They are of the same classes as the full-size ones and load the same way; what they make is noise in the
right place. The same seed gives the same bytes.
"""

from __future__ import annotations

import json
from pathlib import Path

import torch

from training.tiny import networks, vocabulary

EDITING = {"steps": 10, "guidance": 2.5, "picture_guidance": 1.2}
FILLING = {"steps": 10, "guidance": 2.5}
VELOCITY = {**networks.SCHEDULER, "prediction_type": "v_prediction"}


def write(folder: str | Path, seed: int = 0) -> Path:
    """Write the bundles `ip2p`, `sam` and `sd2_inpaint` into a folder, which may exist. Gives the folder."""
    folder = Path(folder)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        _latent(folder / "ip2p", 8, "StableDiffusionInstructPix2PixPipeline", networks.SCHEDULER, EDITING)
        _sam(folder / "sam")
        _latent(folder / "sd2_inpaint", 9, "StableDiffusionInpaintPipeline", VELOCITY, FILLING)
    return folder


def _latent(folder: Path, channels: int, pipeline: str, scheduler: dict, defaults: dict) -> None:
    """A UNet of so many channels in, its autoencoder and its words."""
    words = vocabulary.write(folder / "tokenizer")
    networks.unet(channels).save_pretrained(folder / "unet")
    networks.vae().save_pretrained(folder / "vae")
    networks.text_encoder(words).save_pretrained(folder / "text_encoder")
    _json(folder / "scheduler" / "scheduler_config.json", scheduler)
    _json(folder / "model_index.json", {"_class_name": pipeline, **networks.PIPELINE})
    _json(folder / "intarsia.json", {"defaults": defaults})


def _sam(folder: Path) -> None:
    from omegaconf import OmegaConf
    from safetensors.torch import save_file

    config = networks.sam_config()
    folder.mkdir(parents=True, exist_ok=True)
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    save_file(networks.sam(config), folder / "model.safetensors")
    head = folder / "text_head"
    networks.text_head(vocabulary.write(head)).save_pretrained(head)
    _json(head / "preprocessor_config.json", networks.PREPROCESSOR)


def _json(file: Path, content: dict) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")

"""Makes a bundle of published weights that are in diffusers' layout: their files, and our configs.

Of a publication only weights and vocabulary are needed, since the configs of published sizes are here
already.
"""

from __future__ import annotations

import shutil
from pathlib import Path

from services.bundles.bundle import Bundle
from services.bundles.convert.bundle_writer import new_bundle, write_json, write_settings
from services.bundles.errors import BundleError
from services.bundles.tensor_files import weight_files


def convert(folder: Path, to: Path, *, config: Path) -> Bundle:
    """Copy the weights of a folder into the bundle `to`.

    `config` is a bundle of configs without weights; every tensor is compared with it. A component whose
    weights are one file gets it under the name that it has without a variant.
    """
    plan = Bundle.open(config)
    with new_bundle(to) as part:
        for component in plan.components:
            files = weight_files(folder / component)
            if not files:
                raise BundleError(f"no safetensors weights in {folder / component}")
            write_json(part / component / "config.json", plan.config(component))
            if len(files) == 1:
                name = files[0].name.replace(".fp16.", ".")
                shutil.copyfile(files[0], part / component / name)
            else:
                for file in (*files, *(folder / component).glob("*.safetensors.index.json")):
                    shutil.copyfile(file, part / component / file.name)
        write_settings(plan, part, tokenizer=folder / "tokenizer")
    return Bundle.open(to)

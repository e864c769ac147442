"""InstructPix2Pix with a step loop around it, measured and ready to be asked."""

from __future__ import annotations

from functools import partial

from services.ip2p_unet.family import InstructPix2Pix
from services.unet.serve import serve_family

serve = partial(serve_family, InstructPix2Pix)

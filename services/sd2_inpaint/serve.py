"""Inpainting with a step loop around it, measured and ready to be asked."""

from __future__ import annotations

from functools import partial

from services.sd2_inpaint.family import Inpaint
from services.unet.serve import serve_family

serve = partial(serve_family, Inpaint)

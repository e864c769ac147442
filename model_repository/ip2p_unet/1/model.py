"""InstructPix2Pix behind Triton: edits latents by instruction, a reply for each step."""

from services.runtime.denoiser_model import TritonPythonModel as TritonPythonModel

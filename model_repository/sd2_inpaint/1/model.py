"""Inpainting behind Triton: fills a hole in latents, a reply for each step."""

from services.runtime.denoiser_model import TritonPythonModel as TritonPythonModel

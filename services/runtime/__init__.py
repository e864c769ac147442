"""The only code that uses Triton's Python backend: servers, tensors, model metrics."""

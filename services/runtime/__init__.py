"""The only code that knows Triton's Python backend: doors, tensors, model metrics."""

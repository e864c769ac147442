"""The way to the models: named tensors over gRPC. The only package that imports tritonclient."""

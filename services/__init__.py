"""What runs inside Triton: the models, the step loop they share, and the doors to both."""

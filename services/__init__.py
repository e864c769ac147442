"""The code inside Triton: the models, the step loop that denoisers share, and the servers of both."""

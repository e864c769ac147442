"""The step loop: from noise to picture, for many requests at once.

family         the protocol of a model family: branches, requests, rows
schedule       diffusers' schedulers, by name
noise          noise in the order in which it is drawn
trajectory     one request between noise and picture: latents, schedule, random generator
batch          which trajectories share the next forward pass
costs          the cost of a forward pass, measured when the model is loaded
stopwatch      time without what other programs took
memory_budget  the memory that admitted requests may take
engine         the loop itself
"""

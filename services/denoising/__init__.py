"""The step loop: from noise to a picture, for many requests at once. It knows no shapes.

family           the protocol of a family: branches, requests, rows of a pass
denoiser_family  the protocol of a family that is served
guide            predictions of the branches -> the one that is used
hooks            changes to latents after a step
prediction       noisy latents, training targets and clean estimates
schedule         the way from noise to a picture in steps
schedules        wrappers around diffusers' schedulers, by name
noise            noise in the order in which it is drawn
step             one step, as guides and hooks see it
trajectory       one request between noise and picture: latents, schedule, random generator
checkpoint       a trajectory, written down and taken up again
batch            which trajectories share the next forward pass, and the pass
costs            the costs of forward passes in time and memory, by kind
prices           seconds by rows, learnt from passes that were served
row_choice       how many rows the next pass has: the cheapest number, or one to try
price_file       the prices that are kept between starts
ladder           passes timed when a network is loaded
stopwatch        time without what other programs took
memory_budget    the memory that admitted requests may take
memory_guard     passes that run out of memory
queue            admission, and the requests that wait
capacity         how many requests the loop takes
pass_planner     the next pass, by what passes cost and what memory allows
meter            metrics of the loop
device           waiting for the device
engine           the loop itself
"""

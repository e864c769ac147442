"""The step loop: from noise to picture, for many requests at once.

family      what a model of a kind asks and answers at one step
scheduler   the rule that walks from noise to picture, by name
dice        noise, in the order in which it is drawn
trajectory  one request on its way: its latents, its scheduler, its dice
batch       who steps next, together with whom
costs       what a forward pass costs, measured when the model is loaded
stopwatch   what work takes on a machine that has other things to do
wardrobe    adapters at hand, and how the network wears them
room        how much may be under way at once
engine      the loop itself
"""

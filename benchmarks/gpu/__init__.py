"""How fast is everything on a GPU? `python -m benchmarks.gpu` measures the figures that have a bar.

figures     what is measured, its bars, and the sizes of a full and of a tiny run
bundles     random bundles of full size
device      the GPU's name, its arithmetic peak, and the operations of a forward pass
turns       ways of doing the same, measured in turns within a budget of time
loop        the step loop by itself, and diffusers' own pipeline on the same network
tracking    the service sam by itself, and sam2's own predictor for clips with its weights
platform    the whole platform through Triton
questions   how each figure is measured
"""

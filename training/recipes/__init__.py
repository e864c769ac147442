"""The recipes of the starter weights: each trains one network and writes its component.

python -m training.recipes                        everything, in order
python -m training.recipes.vae --minutes 30       one of them
python -m training.recipes.evaluate --bundle sam  the figures, and the model cards
"""

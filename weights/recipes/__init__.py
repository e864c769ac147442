"""The recipes that made the starter weights: each module trains one network and writes its component.

python -m weights.recipes                        everything, in order
python -m weights.recipes.vae --minutes 30       one of them
python -m weights.recipes.evaluate --bundle sam  the figures, and the model cards
"""

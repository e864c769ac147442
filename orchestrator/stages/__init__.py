"""One stage per model: typed calls to tensors, and tensors to typed answers.

Only stages know what tensors are called.
"""

"""One module per model: typed calls to tensors, and tensors to typed answers.

Only these modules know what tensors are called.
"""

"""Refusals: errors for the caller of a model, with a reason that its client understands.

Triton carries an error as one of a few codes and a line of text. The line begins with the reason, the
same word that `intarsia.errors` uses: `BUSY: not enough memory for this picture now, try again later`.
"""

from __future__ import annotations

import torch


class Refusal(Exception):
    """A request that is not served, with a reason for programs and a message for people.

    Reasons in use: INVALID_FIELD, NOT_READY, NOT_FOUND, UNKNOWN_PICTURE, UNKNOWN_CLIP, UNKNOWN_ADAPTER,
    OTHER_WEIGHTS,
    EMPTY_REGION, BUSY, CANCELLED, TIME_LIMIT, MODEL_DOWN, INTERNAL.
    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason
        self.message = message


def invalid(field: str, message: str) -> Refusal:
    """The refusal of a wrong tensor, or of a wrong value in it: names it and says how to correct it."""
    return Refusal("INVALID_FIELD", f"{field} {message}")


def refusal_for(fault: Exception) -> Refusal:
    """The refusal that a caller gets for an exception; internal faults are not described to callers."""
    if isinstance(fault, Refusal):
        return fault
    if isinstance(fault, (MemoryError, torch.OutOfMemoryError)):
        return Refusal("BUSY", "not enough memory for this now; try again, or send less at once")
    return Refusal("INTERNAL", "the model failed at this; its log says why")

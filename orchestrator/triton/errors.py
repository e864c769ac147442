"""Errors of models, of Triton and of the transport as our own exceptions.

Models report an error as text that begins with a reason: `BUSY: no room for this picture now`.
All other errors, Triton's own and the transport's, are classified by their gRPC code and, where Triton
has no code for them, by their words. Paths and tracebacks are removed: users must not see them.
"""

from __future__ import annotations

import logging
import re

from grpc import StatusCode as Code

from intarsia.errors import (
    Busy,
    Cancelled,
    IntarsiaError,
    InternalError,
    InvalidRequest,
    ModelDown,
    NotFound,
    NotReady,
    TimeLimit,
    classes,
)

log = logging.getLogger(__name__)

_REASONED = re.compile(r"([A-Z][A-Z_]+[A-Z]): (.*)", re.DOTALL)
_PATH = re.compile(r"(?:/[\w.+-]+){2,}(?::\d+)?")
_BY_CODE: dict[Code, type[IntarsiaError]] = {
    Code.INVALID_ARGUMENT: InvalidRequest,
    Code.NOT_FOUND: NotFound,
    Code.UNIMPLEMENTED: NotReady,
    Code.FAILED_PRECONDITION: NotReady,
    Code.RESOURCE_EXHAUSTED: Busy,
    Code.CANCELLED: Cancelled,
    Code.DEADLINE_EXCEEDED: TimeLimit,
    Code.UNAVAILABLE: ModelDown,
}
# Triton says these in words only, or under a code that means something else.
_BY_WORDS: tuple[tuple[str, type[IntarsiaError]], ...] = (
    ("' is not found", NotReady),
    ("is not healthy", ModelDown),
    ("no available versions", ModelDown),
    ("is not ready", ModelDown),
    ("Server is stopping", ModelDown),
    ("Exceeds maximum queue size", Busy),
    ("maximum queue size exceeded", Busy),
)


def to_exception(model: str, words: str, code: Code | None) -> IntarsiaError:
    """The exception for an error that a model, Triton or the transport answered with."""
    clean = _presentable(words)
    reasoned = _REASONED.match(clean)
    if reasoned:
        return _by_reason(model, reasoned[1], reasoned[2], code)
    for phrase, kind in _BY_WORDS:
        if phrase in words:
            if kind is NotReady:
                return kind(f"this server has not loaded {model}; its weights are missing", model=model)
            return kind(f"{model} does not answer ({clean}); try again in a moment", model=model)
    if code is Code.UNAVAILABLE:
        # The transport's words are about addresses inside.
        log.warning("%s is out of reach: %s", model, words)
        return ModelDown(f"{model} is out of reach; try again in a moment", model=model)
    if code is Code.DEADLINE_EXCEEDED:
        return TimeLimit(f"{model} did not finish within the time limit; allow more time", model=model)
    if code is Code.CANCELLED:
        return Cancelled(f"the request to {model} was cancelled", model=model)
    if code is Code.RESOURCE_EXHAUSTED:
        return Busy(f"{model} has no room now ({clean}); try again later", model=model)
    return InternalError(f"{model} failed: {clean}", model=model)


def model_reason(error: IntarsiaError) -> str:
    """The reason a model gave, also where it is not one of the public reasons."""
    return error.facts.get("model_reason", error.reason)


def _by_reason(model: str, reason: str, message: str, code: Code | None) -> IntarsiaError:
    kind = classes().get(reason)
    if kind is None:
        kind = _BY_CODE.get(code, InternalError) if code is not None else InternalError
        return kind(message, model=model, model_reason=reason)
    if issubclass(kind, InvalidRequest):
        # A model names the tensor first: "steps must be between 1 and 1000".
        return kind(message, field=message.split(" ", 1)[0], model=model)
    return kind(message, model=model)


def _presentable(words: str) -> str:
    """The first line without paths; what follows it is a traceback."""
    line = words.strip().split("\n", 1)[0].strip()
    return _PATH.sub("…", line) or "no explanation was given"

"""What models answer instead of tensors."""

from __future__ import annotations

import grpc


class Refused(Exception):
    """What a model answers instead of tensors."""

    def __init__(self, words: str, code: grpc.StatusCode = grpc.StatusCode.INVALID_ARGUMENT) -> None:
        super().__init__(words)
        self.words, self.code = words, code

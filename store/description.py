"""Descriptions: what the store knows of bytes beside the bytes."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from datetime import datetime, timezone

from store.artifact import Origin


@dataclass(frozen=True)
class Description:
    """Media type, time when the bytes were first stored, and origin."""

    media_type: str
    created: datetime
    origin: Origin

    @classmethod
    def new(cls, media_type: str, origin: Origin) -> Description:
        return cls(media_type, datetime.now(timezone.utc), origin)

    @classmethod
    def read(cls, text: bytes) -> Description:
        """The description in a file; raises ValueError for what is none."""
        try:
            found = json.loads(text)
            # Stores older than origins have none of those that go soon.
            origin = Origin(found.get("origin", Origin.RESULT.value))
            return cls(str(found["media_type"]), datetime.fromisoformat(found["created"]), origin)
        except (KeyError, TypeError, AttributeError) as error:
            raise ValueError(f"not a description: {error!r}") from error

    def write(self) -> bytes:
        """What `read` reads."""
        facts = {
            "media_type": self.media_type,
            "created": self.created.isoformat(),
            "origin": self.origin.value,
        }
        return json.dumps(facts).encode()

    def of(self, origin: Origin) -> Description:
        """The description of the same bytes when they also have this origin."""
        return replace(self, origin=origin) if origin.outlasts(self.origin) else self

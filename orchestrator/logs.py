"""Logs: one JSON object a line, with the job that it belongs to."""

from __future__ import annotations

import json
import logging
import sys
import uuid
from contextvars import ContextVar
from datetime import datetime, timezone

from intarsia.errors import IntarsiaError, InternalError

# The name of the job that the running task works for.
job: ContextVar[str] = ContextVar("job", default="")

log = logging.getLogger(__name__)


class JsonLines(logging.Formatter):
    """Writes time, level, logger, job, message, and whatever was given as `extra={"facts": {...}}`."""

    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        if name := job.get():
            line["job"] = name
        line.update(getattr(record, "facts", {}))
        if record.exc_info:
            line["traceback"] = self.formatException(record.exc_info)
        return json.dumps(line, ensure_ascii=False, default=str)


def to_stderr(level: str) -> None:
    """Sends everything from `level` up to stderr as JSON lines."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)


def presentable(error: BaseException) -> IntarsiaError:
    """The error as the client may see it.

    An internal error is logged under a number of its own, and only the number is sent to the caller.
    """
    if isinstance(error, IntarsiaError) and not isinstance(error, InternalError):
        return error
    fault = uuid.uuid4().hex[:12]
    log.error("fault %s: %s", fault, error, exc_info=error, extra={"facts": {"fault": fault}})
    return InternalError(
        f"something went wrong on the server; its log has the details under fault {fault}", fault=fault
    )

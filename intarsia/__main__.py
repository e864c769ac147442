"""The command `intarsia`, also as `python -m intarsia`.

Its imports take a moment, in which a Ctrl-C must not end in a traceback: so they come after the handler.
"""

from __future__ import annotations

import os
import signal
import sys
from types import FrameType


def main() -> int:
    """Runs the command; its exit code."""
    signal.signal(signal.SIGINT, _end)
    from intarsia import cli

    signal.signal(signal.SIGINT, signal.default_int_handler)
    return cli.main()


def _end(_: int, __: FrameType | None) -> None:
    """Ends the process at once: imports may swallow an exception, and nothing has to be cleaned up yet."""
    os.write(2, b"intarsia: cancelled\n")
    os._exit(130)


if __name__ == "__main__":
    sys.exit(main())

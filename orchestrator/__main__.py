"""Serves until it is stopped: `python -m orchestrator`. Everything is set by `INTARSIA_*` variables."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from pathlib import Path

from orchestrator import logs
from orchestrator.app import Orchestrator
from orchestrator.models.registry import MODELS
from orchestrator.settings import BadSetting, Settings

log = logging.getLogger(__name__)


async def serve(settings: Settings) -> int:
    """Serves from the first open port to the last finished job. Returns the status to exit with."""
    loop = asyncio.get_running_loop()
    stopping = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)

    orchestrator = Orchestrator(settings)
    metrics_port = orchestrator.measure()
    port = await orchestrator.start()
    broken = orchestrator.jobs.broken
    reasons_to_stop = {asyncio.ensure_future(event.wait()) for event in (stopping, broken)}
    starting = asyncio.ensure_future(orchestrator.wait_until_ready())
    await asyncio.wait({starting, *reasons_to_stop}, return_when=asyncio.FIRST_COMPLETED)
    if starting.done():
        starting.result()
        _announce(settings, port, metrics_port, orchestrator.keeps.describe())
    await asyncio.wait(reasons_to_stop, return_when=asyncio.FIRST_COMPLETED)
    starting.cancel()

    log.info("stopping; running jobs have %g s to finish", settings.grace)
    drained = asyncio.ensure_future(orchestrator.stop(settings.grace))

    def stop_now() -> None:
        log.info("stop requested again; not waiting for jobs any more")
        abandoning.append(asyncio.ensure_future(orchestrator.jobs.drain(0)))

    abandoning: list[asyncio.Future[bool]] = []
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop_now)
    await drained
    log.info("stopped")
    return int(broken.is_set())


def _announce(settings: Settings, port: int, metrics_port: int, keeps: str) -> None:
    listen = _with_port(settings.listen, port)
    metrics = _with_port(settings.metrics, metrics_port)
    if settings.ready_file is not None:
        _write(settings.ready_file, json.dumps({"listen": listen, "metrics": metrics, "keeps": keeps}))
    print(
        f"intarsia orchestrator ready at {listen}, metrics at http://{metrics}/metrics; keeps {keeps}",
        flush=True,
    )


def _with_port(address: str, port: int) -> str:
    return f"{address.rpartition(':')[0]}:{port}"


def _write(path: Path, text: str) -> None:
    """Writes the file in one step: a reader never sees half of it."""
    new = path.with_name(f"{path.name}.{os.getpid()}.new")
    new.write_text(text, encoding="utf-8")
    new.replace(path)


def main() -> None:
    try:
        settings = Settings.read(os.environ, MODELS)
        logs.to_stderr(settings.log_level)
        sys.exit(asyncio.run(serve(settings)))
    except BadSetting as error:
        sys.exit(f"orchestrator: {error}")


if __name__ == "__main__":
    main()

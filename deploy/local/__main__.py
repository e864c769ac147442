"""Runs the whole platform in the foreground until Ctrl-C.

python -m deploy.local --port 50051 --weights weights/starter
"""

from __future__ import annotations

import argparse
import logging
import signal
import sys
import threading
from collections.abc import Sequence
from pathlib import Path

from deploy.local.cores import usable_cores
from deploy.local.gpus import gpu_source, parse_indices
from deploy.local.probe import ProbeError
from deploy.local.stack import Stack, StackSettings
from deploy.local.triton import StartError
from deploy.local.weights import default_weights


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the platform; exit code 0 after Ctrl-C or SIGTERM, 1 if something failed to start or ended."""
    options = parser().parse_args(argv)
    logging.basicConfig(
        level=options.log_level.upper(), format="%(asctime)s %(levelname)s %(name)s: %(message)s"
    )
    settings = StackSettings(
        data=options.data,
        weights=options.weights or default_weights(options.data),
        port=options.port,
        metrics_port=options.metrics_port,
        triton_port=options.triton_port,
        triton_metrics_port=options.triton_metrics_port,
        profile="cpu" if options.gpu is None else "",
        gpus=None if options.gpu is None else gpu_source(options.gpu),
        threads=options.threads,
    )
    ended, serving = threading.Event(), False

    def stop(*_: object) -> None:
        first = not ended.is_set()
        ended.set()
        if first and not serving:
            raise KeyboardInterrupt  # there are no jobs yet that could finish

    for name in (signal.SIGINT, signal.SIGTERM):
        signal.signal(name, stop)
    try:
        stack = Stack(settings)
        for line in stack.places:
            print(line, flush=True)
        with stack:
            serving = True
            print(f"serving on {stack.address}", flush=True)
            pages = [stack.metrics_url, *(server.triton.metrics_url for server in stack.servers)]
            print(f"metrics: {' and '.join(pages)}", flush=True)
            print(f"keeps {stack.keeps}", flush=True)
            while not ended.wait(1.0):
                fault = stack.failed()
                if fault:
                    print(fault, file=sys.stderr)
                    return 1
            print("stopping: finishing running jobs", flush=True)
    except (StartError, ProbeError) as fault:
        print(fault, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("stopped before it was ready", file=sys.stderr)
    return 0


def parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="intarsia up", description="Runs the whole platform on this machine."
    )
    parser.add_argument(
        "--port", type=int, default=50051, help="port of the gRPC service; 0 for any free one"
    )
    parser.add_argument("--metrics-port", type=int, default=0, help="port of the orchestrator's metrics")
    parser.add_argument(
        "--triton-port", type=int, default=0, help="port of Triton's gRPC; of several, the first has this one"
    )
    parser.add_argument(
        "--triton-metrics-port", type=int, default=0, help="port of Triton's metrics; of several as above"
    )
    parser.add_argument("--data", type=Path, default=Path("var"), help="folder for artifacts and logs")
    parser.add_argument(
        "--weights", type=Path, help="folder of bundles (default: INTARSIA_WEIGHTS, else the starter weights)"
    )
    parser.add_argument(
        "--gpu",
        type=_indices,
        nargs="?",
        const=(),
        metavar="0,1,...",
        help="run the models on these GPUs, by default on every visible one: a server for each, with copies "
        "of models as far as its memory goes",
    )
    parser.add_argument("--threads", type=int, default=usable_cores(), help="threads of each model on CPU")
    parser.add_argument(
        "--log-level",
        choices=("debug", "info", "warning", "error"),
        default="info",
        help="what this command logs (default: info); INTARSIA_LOG_LEVEL is for the orchestrator's log",
    )
    return parser


def _indices(text: str) -> tuple[int, ...]:
    try:
        return parse_indices(text)
    except ValueError as fault:
        raise argparse.ArgumentTypeError(str(fault)) from None


if __name__ == "__main__":
    raise SystemExit(main())

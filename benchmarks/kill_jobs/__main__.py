"""Do jobs survive kills of the orchestrator, of the model server, and of both?

    python -m benchmarks.kill_jobs --kills 100
    python -m benchmarks.kill_jobs --database postgresql --kills 50 --freezes 50

Edits, fills, tracks and a folder run once undisturbed, and then again and again while processes are killed by
SIGKILL at random moments, also while they start, and are started again. With PostgreSQL two orchestrators
share the database, and are also frozen for longer than a lease and woken; the model server stays. The bar: no
job is lost, none finishes twice, every result equals the undisturbed one to the byte, nothing is left behind
(files, rows, processes, shared memory), and no process ends by itself. One that does is started again, so
that the run goes on. Uses random bundles of the smallest size, whose model server is back soon.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

from benchmarks.kill_jobs.trial import TrialSettings, run_trial, shuffled
from benchmarks.options import make_parser, parse
from benchmarks.report import BenchmarkReport, Origin, verdicts
from deploy.local.model_server import ModelServer
from deploy.local.models import served_models
from deploy.local.ports import choose_ports
from deploy.local.supervisor import ProbeLimits
from deploy.local.triton import TritonSettings
from services.bundles.bundle import Bundle
from tests.postgres import Postgres
from training import tiny

ORCHESTRATORS = {"sqlite": 1, "postgresql": 2}


def main(argv: list[str] | None = None) -> int:
    parser = make_parser(__doc__)
    parser.add_argument("--database", choices=tuple(ORCHESTRATORS), default="sqlite")
    parser.add_argument("--kills", type=int, default=100)
    parser.add_argument("--freezes", type=int, default=0, help="of orchestrators that share a database")
    parser.add_argument("--lease", type=float, default=2.0, help="seconds")
    parser.add_argument("--pause", type=float, default=4.0, help="most seconds between two kills")
    options = parse(parser, argv, starter=False)
    if options.freezes and options.database == "sqlite":
        parser.error("--freezes: a file of SQLite has no second orchestrator; add --database postgresql")
    logging.basicConfig(level=logging.ERROR)
    with ExitStack() as leaving:
        folder = Path(leaving.enter_context(tempfile.TemporaryDirectory()))
        weights = options.weights or tiny.write(folder / "weights", seed=options.seed)
        origin = Origin.here(
            argv,
            module="benchmarks.kill_jobs",
            threads=1,
            weights=Bundle.open(weights / "ip2p").digest,
        )
        asks = f"Jobs through {options.kills} kills and {options.freezes} freezes, with {options.database}"
        report = BenchmarkReport(f"kill_jobs_{options.database}", asks, origin)
        settings = TrialSettings(
            folder=folder / "trial",
            ways=_ways(options.database, options.kills, options.freezes, options.seed),
            database=leaving.enter_context(Postgres()).create() if options.database == "postgresql" else "",
            lease=options.lease,
            pause=options.pause,
            seed=options.seed,
        )
        server = _model_server(folder / "triton", weights)
        leaving.callback(server.stop)
        server.start()
        server.wait_alive()
        server.watch()
        result = asyncio.run(run_trial(settings, server))
    for fault in result.findings.faults:
        print(f"  {fault}")
    report.add(
        **{f"{way}_disturbed": count for way, count in sorted(result.disturbances.items())},
        **{method: count for method, count in sorted(result.jobs.items())},
        taken_over=result.takeovers,
        folder_rounds=result.folder_rounds,
        **{kind.replace(" ", "_"): count for kind, count in sorted(result.findings.counts.items())},
        undisturbed_s=round(result.undisturbed_seconds),
        seconds=round(result.disturbed_seconds),
        met=not result.findings.faults,
    )
    print(report.write(options.out))
    return 0 if verdicts(report.lines) or not options.strict else 1


def _ways(database: str, kills: int, freezes: int, seed: int) -> list[list[str]]:
    """What happens, for each orchestrator. A model server takes longest to return, so it is killed in every
    second case only: alone, or with the orchestrator."""
    if database == "sqlite":
        servers = kills // 4
        counts = {"orchestrator": kills - 2 * servers, "triton": servers, "both": servers}
        return [shuffled(counts, seed)]
    count = ORCHESTRATORS[database]
    return [
        shuffled(
            {
                "orchestrator": (kills + number) // count,
                "freeze": (freezes + number) // count,
            },
            seed + number,
        )
        for number in range(count)
    ]


def _model_server(work: Path, weights: Path) -> ModelServer:
    grpc, metrics = choose_ports([0, 0])
    settings = TritonSettings(
        work=work,
        grpc_port=grpc,
        metrics_port=metrics,
        models=tuple(model.name for model in served_models(weights)),
        weights=weights,
        threads=1,
    )
    return ModelServer(settings, ProbeLimits(interval=0.5))


if __name__ == "__main__":
    sys.exit(main())

"""Metrics of an orchestrator, for Prometheus. `endpoint` is the address of one Triton server."""

from __future__ import annotations

from prometheus_client import Counter, Gauge, Histogram, start_http_server

_SHORT = (0.001, 0.003, 0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0)
_LONG = (0.01, 0.03, 0.1, 0.3, 1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0)

RPCS = Counter("intarsia_rpcs", "Calls that ended, by canonical status.", ["method", "status"])
RPC_SECONDS = Histogram("intarsia_rpc_seconds", "Time from a call to its end.", ["method"], buckets=_SHORT)
RPCS_OPEN = Gauge("intarsia_rpcs_open", "Calls under way.", ["method"])

MODEL_CALLS = Counter("intarsia_model_calls", "Requests and streams sent to a model.", ["model"])
MODEL_ERRORS = Counter("intarsia_model_errors", "Those that failed, by reason.", ["model", "reason"])
MODEL_STALLS = Counter("intarsia_model_stalls", "Calls given up because nothing came.", ["model"])
MODEL_REQUESTS_OPEN = Gauge(
    "intarsia_model_requests_open", "Requests and streams under way at an endpoint.", ["model", "endpoint"]
)
MODEL_BREAKER = Gauge(
    "intarsia_model_breaker",
    "Circuit breaker of an endpoint: 0 closed, 1 half-open (being probed), 2 open (gets no requests).",
    ["model", "endpoint"],
)
MODEL_SECONDS = Histogram("intarsia_model_seconds", "Time a model took.", ["model"], buckets=_SHORT)

STAGE_SECONDS = Histogram("intarsia_stage_seconds", "Time a stage took.", ["stage"], buckets=_LONG)

JOBS = Gauge("intarsia_jobs", "Jobs that are not finished, by state.", ["state"])
JOBS_LIMIT = Gauge(
    "intarsia_jobs_limit",
    "Requests that jobs of a method may have before no further one starts.",
    ["method"],
)
JOBS_RESERVED_BYTES = Gauge("intarsia_jobs_reserved_bytes", "Memory that the running jobs need at most.")
JOBS_MEMORY_BYTES = Gauge("intarsia_jobs_memory_bytes", "Memory that running jobs may need together.")
DECODING_HELD_BYTES = Gauge("intarsia_decoding_held_bytes", "Memory that files being decoded may take.")
DECODING_MEMORY_BYTES = Gauge("intarsia_decoding_memory_bytes", "Memory that they may take together.")
JOBS_ENDED = Counter("intarsia_jobs_ended", "Jobs that finished, by method and state.", ["method", "state"])
JOB_WAIT_SECONDS = Histogram("intarsia_job_wait_seconds", "Time a job waited for its turn.", buckets=_LONG)


def serve(host: str, port: int) -> int:
    """Serves `/metrics` on a port of its own and returns the port; 0 takes a free one."""
    server, _ = start_http_server(port, addr=host)
    return int(server.server_port)

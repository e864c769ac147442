"""Settings: read from the environment once, when the orchestrator starts."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import inf, nan
from pathlib import Path
from typing import TypeVar

T = TypeVar("T")

_AUTO, _NONE = "auto", "none"
_FOREVER = "forever"


class BadSetting(Exception):
    """A variable of the environment is not valid; says which, and why."""


@dataclass(frozen=True)
class Settings:
    """All settings. Durations are in seconds."""

    # INTARSIA_LISTEN: address and port for clients; port 0 means any free one.
    listen: str
    # INTARSIA_METRICS_LISTEN: address and port for Prometheus; port 0 means any free one.
    metrics: str
    # INTARSIA_TRITON: addresses of the models' endpoints, `host:port`, separated by commas.
    # INTARSIA_TRITON_<MODEL>, for example INTARSIA_TRITON_SAM: the same for a single model.
    triton: Mapping[str, tuple[str, ...]]
    # INTARSIA_ARTIFACTS: the folder of the artifact store.
    artifacts: Path
    # INTARSIA_PICTURE_MEGAPIXELS: larger pictures are refused before they are decoded.
    picture_megapixels: float
    # INTARSIA_PICTURE_MEMORY_MEGABYTES: the size of the cache of decoded pictures and compressed strips.
    picture_memory: float
    # INTARSIA_VIDEO_ENCODER: writes clips in colour; libx264 (under the GPL) or libvpx-vp9.
    video_encoder: str
    # INTARSIA_DECODING_MEGABYTES: the memory that all files which are being decoded may take together; None
    # (auto) for a quarter of what is free at start, but enough for the largest picture of 8 bits. A file that
    # needs more is refused.
    decoding_memory: float | None
    # INTARSIA_JOBS_RUNNING: the most jobs that run at a time, at most half of them batch jobs, but at least
    # one of each kind; None (auto) for as many as the models take. INTARSIA_JOBS_WAITING: the most that wait;
    # more are refused.
    jobs_running: int | None
    jobs_waiting: int
    # INTARSIA_JOBS_MEMORY_MEGABYTES: the memory that running jobs may need together; None (auto) for a
    # quarter of what is free at start. A job that needs more runs alone.
    jobs_memory: float | None
    # INTARSIA_JOBS_DATABASE: where jobs are kept, `sqlite:///path` or `postgresql://user:password@host/name`;
    # by default a file in the folder of the artifact store.
    jobs_database: str
    # INTARSIA_JOBS_LEASE_SECONDS: with PostgreSQL, the time after which the jobs of a server that does not
    # answer are run by another one.
    jobs_lease: float
    # INTARSIA_JOBS_INTERRUPTIONS: a job in whose attempts the server was killed so often in a row, with
    # nothing remembered in between, fails.
    jobs_interruptions: int
    # INTARSIA_TIME_LIMIT_SECONDS: the longest time that a job may run, over all its attempts.
    # INTARSIA_BATCH_TIME_LIMIT_SECONDS: that of a batch job which names none; None (none) for no limit.
    # INTARSIA_BATCH_IDLE_SECONDS: a batch job that makes no progress for so long is ended.
    time_limit: float
    batch_time_limit: float | None
    batch_idle: float
    # INTARSIA_KEEP_UPLOADS_DAYS, _KEEP_RESULTS_DAYS: how long uploads, and results with their jobs, stay
    # after they were named last, unless they are pinned. `forever` is infinity, here and below.
    # INTARSIA_KEEP_JOBS_DAYS: how long jobs that ended without a result stay.
    # INTARSIA_KEEP_PREVIEWS_DAYS, _KEEP_INTERMEDIATES_DAYS: how long these stay after the end of their job.
    keep_uploads: float
    keep_results: float
    keep_jobs: float
    keep_previews: float
    keep_intermediates: float
    # INTARSIA_SEGMENT_AT_ONCE, _SEGMENT_SECONDS: the most requests at a time that are answered within the
    # call, and their time limit.
    segment_at_once: int
    segment_seconds: float
    # INTARSIA_UPLOADS_PER_PEER: the most uploads that one address may have open at a time.
    # INTARSIA_UPLOAD_IDLE_SECONDS: an upload that sends nothing for so long is ended.
    uploads_per_peer: int
    upload_idle: float
    # INTARSIA_WAIT_FULL_SECONDS, _WAIT_AWAY_SECONDS: how long a request that has not begun waits for a model
    # that is full or down, before it fails.
    wait_full: float
    wait_away: float
    # INTARSIA_STALL_STEPS, _STALL_FLOOR_SECONDS, _STALL_FIRST_SECONDS: a stream counts as stalled after so
    # many times its longest step without a reply, and at least so many seconds; its first reply may take
    # longer.
    # INTARSIA_STALL_ANSWER_SECONDS: the time after which a unary request counts as stalled.
    stall_steps: float
    stall_floor: float
    stall_first: float
    stall_answer: float
    # INTARSIA_CHECKPOINT_AFTER_SECONDS, _CHECKPOINT_SECONDS: a denoiser's checkpoints are kept if the network
    # is expected to need longer than the first for a candidate, about as often as the second says.
    checkpoint_after: float
    checkpoint_every: float
    # INTARSIA_DRAIN_SECONDS: the time for running jobs to finish when the server stops.
    grace: float
    # INTARSIA_LOG_LEVEL: debug, info, warning or error.
    log_level: str
    # INTARSIA_READY_FILE: written, as JSON with the ports, once the server is ready.
    ready_file: Path | None

    @classmethod
    def read(cls, environment: Mapping[str, str], models: Iterable[str]) -> Settings:
        """Reads the environment; raises BadSetting for the first invalid variable.

        `models` are the names of all models, which have addresses.
        """
        read = _Reader(environment)
        artifacts = read("ARTIFACTS", "artifacts", Path)
        return cls(
            listen=read("LISTEN", "127.0.0.1:50051", _address),
            metrics=read("METRICS_LISTEN", "127.0.0.1:50052", _address),
            triton=_addresses(environment, tuple(models), read),
            artifacts=artifacts,
            picture_megapixels=read("PICTURE_MEGAPIXELS", "80", _positive),
            picture_memory=read("PICTURE_MEMORY_MEGABYTES", "512", _positive),
            video_encoder=read("VIDEO_ENCODER", "libx264", _one_of("libx264", "libvpx-vp9")),
            decoding_memory=read("DECODING_MEGABYTES", _AUTO, _or_word(_AUTO, _positive)),
            jobs_running=read("JOBS_RUNNING", _AUTO, _or_word(_AUTO, _count)),
            jobs_waiting=read("JOBS_WAITING", "256", _count),
            jobs_memory=read("JOBS_MEMORY_MEGABYTES", _AUTO, _or_word(_AUTO, _positive)),
            jobs_database=read("JOBS_DATABASE", f"sqlite:///{artifacts / 'jobs.sqlite'}", _database),
            jobs_lease=read("JOBS_LEASE_SECONDS", "15", _positive),
            jobs_interruptions=read("JOBS_INTERRUPTIONS", "10", _count),
            time_limit=read("TIME_LIMIT_SECONDS", "3600", _positive),
            batch_time_limit=read("BATCH_TIME_LIMIT_SECONDS", _NONE, _or_word(_NONE, _positive)),
            batch_idle=read("BATCH_IDLE_SECONDS", "3600", _positive),
            keep_uploads=read("KEEP_UPLOADS_DAYS", "30", _days),
            keep_results=read("KEEP_RESULTS_DAYS", "30", _days),
            keep_jobs=read("KEEP_JOBS_DAYS", "30", _days),
            keep_previews=read("KEEP_PREVIEWS_DAYS", "0", _days),
            keep_intermediates=read("KEEP_INTERMEDIATES_DAYS", "0", _days),
            segment_at_once=read("SEGMENT_AT_ONCE", "8", _count),
            segment_seconds=read("SEGMENT_SECONDS", "120", _positive),
            uploads_per_peer=read("UPLOADS_PER_PEER", "32", _count),
            upload_idle=read("UPLOAD_IDLE_SECONDS", "60", _positive),
            wait_full=read("WAIT_FULL_SECONDS", "600", _positive),
            wait_away=read("WAIT_AWAY_SECONDS", "180", _positive),
            stall_steps=read("STALL_STEPS", "10", _positive),
            stall_floor=read("STALL_FLOOR_SECONDS", "30", _positive),
            stall_first=read("STALL_FIRST_SECONDS", "120", _positive),
            stall_answer=read("STALL_ANSWER_SECONDS", "300", _positive),
            checkpoint_after=read("CHECKPOINT_AFTER_SECONDS", "30", _positive),
            checkpoint_every=read("CHECKPOINT_SECONDS", "10", _positive),
            grace=read("DRAIN_SECONDS", "30", _positive),
            log_level=read("LOG_LEVEL", "info", _one_of("debug", "info", "warning", "error")),
            ready_file=read("READY_FILE", "", lambda text: Path(text) if text else None),
        )


class _Reader:
    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment

    def __call__(self, name: str, default: str, meaning: Callable[[str], T]) -> T:
        variable = f"INTARSIA_{name}"
        text = self._environment.get(variable, default).strip()
        try:
            return meaning(text)
        except ValueError as error:
            raise BadSetting(f"{variable}={text!r}: {error}") from None


def _addresses(
    environment: Mapping[str, str], models: Sequence[str], read: _Reader
) -> dict[str, tuple[str, ...]]:
    variables = {f"INTARSIA_TRITON_{model.upper()}": model for model in models}
    for variable in environment:
        if variable.startswith("INTARSIA_TRITON_") and variable not in variables:
            raise BadSetting(f"{variable}: there is no such model; known are {', '.join(variables)}")
    everywhere = environment.get("INTARSIA_TRITON", "127.0.0.1:8001")
    return {model: read(f"TRITON_{model.upper()}", everywhere, _list) for model in models}


def _list(text: str) -> tuple[str, ...]:
    return tuple(_address(part.strip()) for part in text.split(","))


def _address(text: str) -> str:
    host, _, port = text.rpartition(":")
    if not host or not port.isdigit() or int(port) > 65535:
        raise ValueError("must be an address and a port, for example 127.0.0.1:50051")
    return text


def _count(text: str) -> int:
    if not text.isdigit() or int(text) < 1:
        raise ValueError("must be a whole number, at least 1")
    return int(text)


def _positive(text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = nan
    if not 0 < number < 1e9:
        raise ValueError("must be a number above 0")
    return number


def _days(text: str) -> float:
    """A number of days, in seconds."""
    if text.lower() == _FOREVER:
        return inf
    try:
        days = float(text)
    except ValueError:
        days = nan
    if not 0 <= days < 1e6:
        raise ValueError(f"must be a number of days, or `{_FOREVER}`")
    return days * 86400


def _or_word(word: str, meaning: Callable[[str], T]) -> Callable[[str], T | None]:
    """The meaning of a variable that may be a word, which is None."""

    def read(text: str) -> T | None:
        if text.lower() == word:
            return None
        try:
            return meaning(text)
        except ValueError as error:
            raise ValueError(f"{error}, or `{word}`") from None

    return read


def _database(text: str) -> str:
    if not text.startswith(("sqlite:///", "postgresql://")):
        raise ValueError("must be sqlite:///path or postgresql://user:password@host/name")
    return text


def _one_of(*words: str) -> Callable[[str], str]:
    def read(text: str) -> str:
        if text.lower() not in words:
            raise ValueError(f"must be one of {', '.join(words)}")
        return text.lower()

    return read

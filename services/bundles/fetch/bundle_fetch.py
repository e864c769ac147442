"""Carries a plan out: fetches, checks, converts, verifies, and gives the bundle its name last."""

from __future__ import annotations

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from services.bundles.bundle import Bundle
from services.bundles.errors import BundleError, WrongBytes
from services.bundles.fetch.hub import check
from services.bundles.fetch.notice import write_notice
from services.bundles.fetch.plan import FetchPlan, FileToFetch, record_of
from services.bundles.source import SourceFile, WeightSource
from services.bundles.source_toml import to_toml

_WEIGHTS = (".pt", ".ckpt", ".safetensors")


def is_there(source: WeightSource, to: Path) -> bool:
    """Whether the folder `to` has what a source becomes. A `sam` with a text head alone has no SAM 2."""
    folder = to / source.becomes
    return (folder / "config.yaml").is_file() if source.layout == "sam2" else folder.exists()


def fetch(plan: FetchPlan, *, config: Path | None = None, tell: Callable[[str], None] = print) -> Bundle:
    """Carry out a plan; gives the new bundle. `config` is for networks that are not of the published size.

    Stopped at any moment, it leaves files that the next fetch goes on with, and no bundle.
    """
    with _stage(plan) as stage:
        if plan.trusted:  # a fetch that is stopped goes on at the commit that it began with
            _keep_record(plan.source, plan.to)
        files = tuple(_fetched(item, plan, stage / "files", tell) for item in plan.files)
        source = replace(plan.source, files=files)
        _keep_record(source, plan.to)
        tell(f"{source.name}: converting")
        made = stage / source.becomes
        _convert(source, stage / "files", made, config)
        write_notice(made, source)
        _put(made, plan.to / source.becomes)
    return Bundle.open(plan.to / source.becomes.split("/")[0])


@contextmanager
def _stage(plan: FetchPlan) -> Iterator[Path]:
    """An empty folder beside the bundles, for one fetch at a time. By the dot in its name it is no bundle."""
    plan.to.mkdir(parents=True, exist_ok=True)
    with (plan.to / ".fetch.lock").open("w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise BundleError(f"another fetch works in {plan.to}; let it finish, then try again") from None
        stage = plan.to / ".fetch"
        shutil.rmtree(stage, ignore_errors=True)  # what a killed one left
        stage.mkdir()
        try:
            yield stage
        finally:
            shutil.rmtree(stage, ignore_errors=True)


def _fetched(item: FileToFetch, plan: FetchPlan, view: Path, tell: Callable[[str], None]) -> SourceFile:
    """Fetches and checks a file, and shows it to the converter; gives it with what was learnt."""
    file, hub = item.file, plan.hub
    try:
        if item.here is None:
            assert hub is not None and item.remote is not None
            tell(f"{plan.source.name}: fetching {file.path}")
            path, digest = hub.download(file, item.remote)
        else:
            path = item.here
            digest = check(path, file, hub.endpoint if hub else str(path))
    except WrongBytes:
        if hub is not None:
            hub.forget(file)
        raise
    shown = view / file.path
    shown.parent.mkdir(parents=True, exist_ok=True)
    shown.symlink_to(path.resolve())
    return replace(file, size=path.stat().st_size, sha256=digest)


def _convert(source: WeightSource, files: Path, to: Path, config: Path | None) -> None:
    from services.bundles import published_configs
    from services.bundles.convert import diffusers_layout, sam2, sam3

    weights = next((file.path for file in source.files if Path(file.path).suffix in _WEIGHTS), None)
    if weights is None:
        raise BundleError(f"the source {source.name} has no file of weights")
    if source.layout == "diffusers":
        diffusers_layout.convert(files, to, config=config or published_configs.of(source.becomes))
    elif source.layout == "sam2":
        sam2.convert(files / weights, to, config=config)
    else:
        sam3.convert(files / weights, to, tokenizer=files, config=config)


def _put(made: Path, to: Path) -> None:
    """Gives a bundle or a component its name. Into a `sam` that has a text head, the config goes last: by
    it a component is one."""
    to.parent.mkdir(parents=True, exist_ok=True)
    if not to.exists():
        os.replace(made, to)
        return
    for child in sorted(made.iterdir(), key=lambda child: child.name == "config.yaml"):
        os.replace(child, to / child.name)


def _keep_record(source: WeightSource, to: Path) -> None:
    record = record_of(source, to)
    draft = record.with_name(f".{record.name}")
    draft.write_text(to_toml(source), encoding="utf-8")
    os.replace(draft, record)

"""`intarsia weights fetch`: options, questions and answers."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from services.bundles.errors import BundleError
from services.bundles.source import WeightSource, repository_at
from services.bundles.source_toml import PUBLISHED, read, sources

NAMES = ("ip2p", "sd2_inpaint", "sam2", "sam3")
_TOKEN = (
    "HF_ENDPOINT or --endpoint names a mirror, HF_TOKEN holds the token for gated repositories, "
    "HF_HUB_CACHE, HF_HOME or "
    "--cache-dir the folder in which downloads are kept."
)


def add_to(commands: argparse._SubParsersAction, shared: argparse.ArgumentParser) -> None:
    """Adds the command and its options."""
    parser = commands.add_parser(
        "fetch", parents=[shared], help="fetch published weights, check and convert them", epilog=_TOKEN
    )
    parser.add_argument("source", nargs="+", help=f"{', '.join(NAMES)}, or one of --sources")
    parser.add_argument("--to", type=Path, default=Path("full"), help="the folder of bundles (default: full)")
    parser.add_argument("--plan", action="store_true", help="say what would be fetched, and end")
    parser.add_argument("--yes", action="store_true", help="do not ask")
    parser.add_argument(
        "--trust-first-use",
        action="store_true",
        help="take files whose commit or digest is not known here, and hold later fetches to what came",
    )
    parser.add_argument(
        "--accept-academic-use",
        action="store_true",
        help="accept that weights may be for academic use only, where their licence says so",
    )
    parser.add_argument("--repo", metavar="OWNER/NAME@COMMIT", help="fetch from another repository")
    parser.add_argument("--endpoint", metavar="URL", help="a mirror of the hub")
    parser.add_argument("--cache-dir", type=Path, help="folder in which downloads are kept")
    parser.add_argument("--folder", type=Path, help="take the files from this folder; needs no network")
    parser.add_argument(
        "--config", type=Path, help="configs of the networks, if they are not of the published size"
    )
    parser.add_argument("--sources", type=Path, help="folder of further descriptions of sources (*.toml)")
    parser.set_defaults(run=run)


def run(options: argparse.Namespace) -> int:
    """Fetches; raises BundleError where something is wrong. Exit code 1 if the user does not agree."""
    from services.bundles.fetch.bundle_fetch import fetch, is_there
    from services.bundles.fetch.hub import Hub, quiet
    from services.bundles.fetch.plan import plan_fetch, require_room

    quiet(bars=not options.json)

    def tell(text: str) -> None:
        if not options.json:
            print(text, flush=True)

    plans = []
    for source in _chosen(options):
        if is_there(source, options.to):
            tell(_there(source, options.to))
            continue
        hub = None if options.folder else Hub(options.endpoint, options.cache_dir, gated=source.gated)
        plans.append(plan_fetch(source, options.to, hub, options.folder, trust=options.trust_first_use))
    require_room(plans)
    for plan in plans:
        print(json.dumps(plan.as_dict()) if options.json else f"{plan}\n", flush=True)
    if options.plan or not plans:
        return 0
    if not (options.yes or _agreed()):
        return 1
    for plan in plans:
        bundle = fetch(plan, config=options.config, tell=tell)
        if options.json:
            print(
                json.dumps({"source": plan.source.name, "bundle": str(bundle.folder), "sound": True}),
                flush=True,
            )
        else:
            tell(f"{options.to / plan.source.becomes}: sound; its licence is in NOTICE.md")
    tell(f"now: intarsia up --weights {options.to}")
    return 0


def _chosen(options: argparse.Namespace) -> list[WeightSource]:
    """The sources that were asked for, with what earlier fetches have learnt of them."""
    from services.bundles.fetch.plan import record_of

    known = sources(PUBLISHED) | (sources(options.sources) if options.sources else {})
    found = []
    for name in dict.fromkeys(options.source):
        if name not in known:
            raise BundleError(f"no source is called {name!r}; there are {', '.join(known)}")
        source = known[name]
        if source.licence.academic_only and not options.accept_academic_use:
            raise BundleError(
                f"{name}: its licence, {source.licence.name} ({source.licence.url}), allows academic use "
                "only; if yours "
                "is, say so by --accept-academic-use"
            )
        if options.repo:
            source = source.moved(*repository_at(options.repo), trusted=options.trust_first_use)
        record = record_of(source, options.to)
        found.append(source.completed(read(record)) if record.is_file() else source)
    if options.repo and len(found) > 1:
        raise BundleError("--repo names the repository of one source; fetch the others by themselves")
    return found


def _there(source: WeightSource, to: Path) -> str:
    """What to say of a bundle that is there; raises BundleError if it was not fetched from this source."""
    from services.bundles.fetch.plan import record_of

    folder, record = to / source.becomes, record_of(source, to)
    earlier = read(record) if record.is_file() else None
    if earlier is None or (earlier.repository, earlier.commit) != (source.repository, source.commit):
        origin = f"from {earlier.repository}@{earlier.commit}" if earlier else "in another way"
        raise BundleError(f"{folder} exists, and came {origin}; remove it, or name another folder by --to")
    return f"{folder} is there already, from {earlier.repository}@{earlier.commit}"


def _agreed() -> bool:
    if not sys.stdin.isatty():
        raise BundleError("nobody can be asked here: look at the plan, and say --yes")
    return input("Fetch this? [y/N] ").strip().lower() in ("y", "yes")

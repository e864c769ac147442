"""Makes `intarsia/v1` from the protos, and holds the protos to their promises.

    python protos/generate.py             writes intarsia/v1
    python protos/generate.py --check     lints, compares with the baseline, and fails if intarsia/v1 is stale
    python protos/generate.py --release   also renews baseline.binpb: what clients in the field rely on

The generator is pinned (the `dev` extra): its age decides which protobuf runtimes can read the code.
"""

from __future__ import annotations

import argparse
import filecmp
import importlib.metadata
import shutil
import subprocess
import sys
import tempfile
from importlib.resources import files
from pathlib import Path

PROTOS = Path(__file__).resolve().parent
ROOT = PROTOS.parent
PACKAGE = Path("intarsia", "v1")
BASELINE = PROTOS / "baseline.binpb"
GENERATOR = "1.76.0"

PREFACE = '"""Generated from protos/intarsia/v1 by protos/generate.py; not edited by hand."""\n'


def generate(into: Path) -> Path:
    """Writes the package `intarsia/v1` below `into` and returns its folder."""
    from grpc_tools import protoc

    version = importlib.metadata.version("grpcio-tools")
    if version != GENERATOR:
        raise SystemExit(
            f"grpcio-tools is {version}; install grpcio-tools=={GENERATOR} to get the same bytes"
        )
    names = [path.relative_to(PROTOS).as_posix() for path in sorted((PROTOS / PACKAGE).glob("*.proto"))]
    well_known = files("grpc_tools") / "_proto"
    places = [f"--{kind}_out={into}" for kind in ("python", "pyi", "grpc_python")]
    code = protoc.main(["protoc", f"-I{PROTOS}", f"-I{well_known}", *places, *names])
    if code:
        raise SystemExit(code)
    package = into / PACKAGE
    (package / "__init__.py").write_text(PREFACE)
    return package


def buf(*arguments: str | Path) -> None:
    """Runs the `buf` of the `dev` extra, on the path or beside this interpreter."""
    command = shutil.which("buf") or str(Path(sys.executable).with_name("buf"))
    code = subprocess.run([command, *arguments]).returncode
    if code:
        raise SystemExit(code)


def differences(fresh: Path, kept: Path) -> list[str]:
    """Names of generated files that differ between two folders, or are in one of them only."""
    names = {path.name for folder in (fresh, kept) for path in folder.glob("*.py*") if path.is_file()}
    _, differing, missing = filecmp.cmpfiles(fresh, kept, sorted(names), shallow=False)
    return sorted(differing + missing)


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--check", action="store_true", help="write nothing; fail if something is amiss")
    what.add_argument("--release", action="store_true", help="also renew the compatibility baseline")
    options = parser.parse_args(argv)

    with tempfile.TemporaryDirectory() as folder:
        fresh, kept = generate(Path(folder)), ROOT / PACKAGE
        stale = differences(fresh, kept)
        if options.check:
            buf("lint", PROTOS)
            buf("breaking", PROTOS, "--against", BASELINE)
            for name in stale:
                print(
                    f"{PACKAGE / name} differs from the protos; run: python protos/generate.py",
                    file=sys.stderr,
                )
            return 1 if stale else 0
        kept.mkdir(parents=True, exist_ok=True)
        for name in stale:
            if (fresh / name).exists():
                (kept / name).write_bytes((fresh / name).read_bytes())
            else:
                (kept / name).unlink()
    if options.release:
        buf("build", PROTOS, "--exclude-source-info", "-o", BASELINE)
    return 0


if __name__ == "__main__":
    sys.exit(main())

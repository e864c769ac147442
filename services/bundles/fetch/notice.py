"""The notice of a bundle: where its weights come from, under which terms, and which works they stand on."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from services.bundles.bundle import read_json
from services.bundles.source import WeightSource
from services.bundles.source_toml import LICENCES

NOTICE = "NOTICE.md"


def write_notice(folder: Path, source: WeightSource) -> None:
    """Writes NOTICE.md, with the whole text of the licence, and names the licence in intarsia.json, from
    which the model tells it for the manifests of pictures."""
    (folder / NOTICE).write_text(_page(source), encoding="utf-8")
    settings = folder / "intarsia.json"
    content: dict[str, Any] = read_json(settings) if settings.is_file() else {}
    content["licence"] = {
        "name": source.licence.name,
        "url": source.licence.url,
        "academic_only": source.licence.academic_only,
        "source": f"{source.repository}@{source.commit or 'unknown'}",
    }
    settings.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")


def _page(source: WeightSource) -> str:
    others = {(file.repository, file.commit) for file in source.files} - {(source.repository, source.commit)}
    origins = [(source.repository, source.commit), *sorted(others, key=str)]
    lines = [
        f"# {source.title}",
        "",
        *(f"From https://huggingface.co/{name} at commit {commit or 'unknown'}." for name, commit in origins),
    ]
    if source.unaffiliated:
        lines += ["", f"The repository {source.repository} is not its authors': {source.unaffiliated}."]
    lines += ["", "## Licence", "", f"{source.licence.name}: {source.licence.url}"]
    if source.licence.academic_only:
        lines += ["", "Only academic use is allowed."]
    lines += ["", "## Works", "", *(f"- {work.work}. {work.text} {work.url}" for work in source.citations)]
    for name in source.licence.texts:
        lines += ["", "---", "", "```", (LICENCES / name).read_text(encoding="utf-8").strip("\n"), "```"]
    return "\n".join(lines) + "\n"

"""Completion, as the shells do it."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from intarsia.cli import main
from tests.debian_packages import skip_without

LINES = {
    "edit": {"edit-region"},
    "jobs re": {"resume", "retry"},
    "jobs list --sta": {"--state"},
    "jobs list --state p": {"paused"},
    "edit-region photo.png --scheduler eu": {"euler", "euler_ancestral"},
    "edit-region jobs --no-c": {"--no-clobber"},
    "weights conv": {"convert"},
    "up --metrics": {"--metrics-port"},
}

BASH = """
source /dev/stdin
line=({line})
COMP_WORDS=(intarsia "${{line[@]}}")
COMP_CWORD=$(( ${{#COMP_WORDS[@]}} - 1 ))
_intarsia
printf '%s\\n' "${{COMPREPLY[@]}}"
"""


@pytest.fixture
def script(capsys: pytest.CaptureFixture[str], request: pytest.FixtureRequest) -> str:
    assert main(["completion", request.param]) == 0
    return capsys.readouterr().out


def ran(command: list[str], script: str) -> set[str]:
    skip_without(command[0], installed=shutil.which(command[0]) is not None)
    done = subprocess.run(command, input=script, capture_output=True, text=True, check=True)
    assert not done.stderr
    return {line.split("\t")[0] for line in done.stdout.splitlines() if line}


@pytest.mark.parametrize("script", ["bash"], indirect=True)
@pytest.mark.parametrize("line", LINES)
def test_bash_completes(line: str, script: str) -> None:
    assert ran(["bash", "--norc", "-c", BASH.format(line=line)], script) == LINES[line]


@pytest.mark.parametrize("script", ["fish"], indirect=True)
@pytest.mark.parametrize("line", LINES)
def test_fish_completes(line: str, script: str) -> None:
    command = f"source -; complete -C 'intarsia {line}'"
    assert ran(["fish", "--no-config", "-c", command], script) == LINES[line]


@pytest.mark.parametrize("script", ["zsh"], indirect=True)
def test_zsh_accepts_the_script(script: str) -> None:
    command = "source /dev/stdin && print -r -- $_comps[intarsia]"
    assert ran(["zsh", "-f", "-c", command], script) == {"_bash_complete -o default -F _intarsia"}


def test_an_unknown_shell_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["completion", "tcsh"]) == 2
    assert "bash" in capsys.readouterr().err

"""`intarsia completion`: a script that completes commands and options in bash, zsh or fish."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from shlex import quote
from typing import Any

from intarsia.cli import server_commands
from intarsia.cli.output import Console

_EPILOG = """to switch it on, now and in every new shell:
  bash  echo 'source <(intarsia completion bash)' >> ~/.bashrc
  zsh   echo 'source <(intarsia completion zsh)' >> ~/.zshrc
  fish  intarsia completion fish > ~/.config/fish/completions/intarsia.fish
"""

_BASH = """_intarsia() {{
    local current=${{COMP_WORDS[COMP_CWORD]}} before=${{COMP_WORDS[COMP_CWORD-1]}} command= word words=
    for word in "${{COMP_WORDS[@]:1:COMP_CWORD-1}}"; do
        case "$command${{command:+ }}$word" in
            {commands}) command+="${{command:+ }}$word" ;;
        esac
    done
    case "$command $before" in
{values}
        *) case "$command" in
{words}
        esac ;;
    esac
    COMPREPLY=($(compgen -W "$words" -- "$current"))
}}
complete -o default -F _intarsia intarsia
"""


@dataclass(frozen=True)
class Command:
    """A command as it is completed: its words after `intarsia`, its subcommands with help, its options."""

    words: str
    subcommands: dict[str, str]
    options: tuple[argparse.Action, ...]


def add_to(commands: Any) -> None:
    command = commands.add_parser(
        "completion",
        help="print a script that completes commands and options in a shell",
        description="Prints a script that completes commands and options.",
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    command.add_argument("shell", choices=("bash", "zsh", "fish"))
    command.add_argument("--json", action="store_true", help="one JSON object per line on standard output")
    command.set_defaults(run=run)


def run(options: argparse.Namespace, console: Console) -> int:
    from intarsia.cli import parser

    commands = list(_commands("", parser()))
    script = _fish(commands) if options.shell == "fish" else _bash(commands, zsh=options.shell == "zsh")
    console.result("completion", {"shell": options.shell, "script": script}, script.rstrip())
    return 0


def _commands(words: str, parser: argparse.ArgumentParser) -> Iterator[Command]:
    """A command and all below it."""
    below: dict[str, argparse.ArgumentParser] = {}
    helps: dict[str, str] = {}
    options = []
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            below |= action.choices
            helps |= {each.dest: each.help or "" for each in action._choices_actions}
        elif action.option_strings and action.help != argparse.SUPPRESS:
            options.append(action)
    if not words:
        below |= server_commands.parsers()
    yield Command(words, {name: helps.get(name, "") for name in below}, tuple(options))
    for name, one in below.items():
        yield from _commands(f"{words} {name}".strip(), one)


def _bash(commands: list[Command], *, zsh: bool) -> str:
    values, words = [], []
    for command in commands:
        names = [name for option in command.options for name in option.option_strings]
        words.append(
            f"            {quote(command.words)}) words={quote(' '.join([*command.subcommands, *names]))} ;;"
        )
        for option in command.options:
            pattern = "|".join(quote(f"{command.words} {name}") for name in option.option_strings)
            if option.choices:
                words_of = " ".join(map(str, option.choices))
                values.append(f"        {pattern}) words={quote(words_of)} ;;")
            elif option.nargs != 0:
                values.append(f"        {pattern}) ;;")  # a file or a number
    script = _BASH.format(
        commands="|".join(quote(command.words) for command in commands if command.words),
        values="\n".join(values),
        words="\n".join(words),
    )
    return f"autoload -U +X compinit bashcompinit && compinit && bashcompinit\n{script}" if zsh else script


def _fish(commands: list[Command]) -> str:
    lines = ["complete -c intarsia -e"]
    for command in commands:
        inside = [f"__fish_seen_subcommand_from {word}" for word in command.words.split()]
        if command.subcommands:
            outside = f"not __fish_seen_subcommand_from {' '.join(command.subcommands)}"
            condition = quote("; and ".join([*inside, outside]))
            lines += [
                f"complete -c intarsia -n {condition} -f -a {name} -d {quote(text)}"
                for name, text in command.subcommands.items()
            ]
        for option in command.options:
            condition = f" -n {quote('; and '.join(inside))}" if inside else ""
            names = " ".join(
                f"-l {name[2:]}" if name.startswith("--") else f"-s {name[1:]}"
                for name in option.option_strings
            )
            value = f" -x -a {quote(' '.join(map(str, option.choices)))}" if option.choices else ""
            value = value or (" -r" if option.nargs != 0 else "")
            help_text = quote((option.help or "").replace("%%", "%"))
            lines.append(f"complete -c intarsia{condition} {names}{value} -d {help_text}")
    return "\n".join(lines) + "\n"

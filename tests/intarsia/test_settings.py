"""Every setting is one keyword, one option and one field; every option means the same in all commands."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import get_type_hints

import pytest

from intarsia.artifacts import Source
from intarsia.cli import parser
from intarsia.cli.output import FIELD_OPTIONS, option_of
from intarsia.results import ArtifactInfo
from intarsia.settings import SETTINGS, Settings
from intarsia.v1 import editing_pb2

# What these are is said by their command.
OWN_HELP = {"--output", "--help", "--state", "--model", "--label"}


def commands(of: argparse.ArgumentParser) -> Iterator[argparse.ArgumentParser]:
    """A parser and those of all its subcommands."""
    yield of
    for action in of._actions:
        if isinstance(action, argparse._SubParsersAction):
            for one in action.choices.values():
                yield from commands(one)


def options() -> dict[str, list[argparse.Action]]:
    """Every long option, with what each command makes of it."""
    found: dict[str, list[argparse.Action]] = {}
    for command in commands(parser()):
        for action in command._actions:
            for option in action.option_strings:
                found.setdefault(option, []).append(action)
    return found


def meaning(action: argparse.Action) -> tuple[object, ...]:
    """All that a user could notice of an option."""
    name = max(action.option_strings, key=len)
    parse = getattr(action.type, "__qualname__", action.type)  # parsers of numbers are made anew
    words = None if name in OWN_HELP else action.help
    return (type(action), action.dest, parse, action.nargs, action.choices, action.metavar, words)


@pytest.mark.parametrize("option", options())
def test_an_option_means_the_same_in_all_commands(option: str) -> None:
    assert len({meaning(action) for action in options()[option]}) == 1


def test_the_keywords_are_those_of_the_table() -> None:
    assert [setting.name for setting in SETTINGS] == list(Settings.__annotations__)
    assert get_type_hints(Settings, localns={"Source": Source, "ArtifactInfo": ArtifactInfo})


@pytest.mark.parametrize("setting", SETTINGS, ids=lambda setting: setting.name)
def test_a_setting_has_an_option_and_a_field(setting) -> None:  # type: ignore[no-untyped-def]
    assert setting.option in options()
    assert option_of(setting.path) == option_of(f"{setting.path}[0]") == setting.option
    message = editing_pb2.FillRegionRequest if setting.name == "margin" else editing_pb2.PictureJob
    place = message.DESCRIPTOR
    for name in setting.path.split("."):
        if place.GetOptions().map_entry:  # guidance: the rest is a key
            break
        assert name in place.fields_by_name or setting.name == "spacing"  # two fields, one for each way
        place = place.fields_by_name[name].message_type if name in place.fields_by_name else place


def test_every_field_leads_to_an_option_that_exists() -> None:
    for text in FIELD_OPTIONS.values():
        for word in text.replace(",", "").split():
            assert not word.startswith("--") or word in options()

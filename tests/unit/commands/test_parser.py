"""Every subcommand and every option says what it is for."""

import argparse
from collections.abc import Iterator

import pytest

from npu_conformance import cli
from npu_conformance.commands.parser import make_parser
from npu_conformance.run.options import add_options


def parsers(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, argparse.ArgumentParser]]:
    """A parser and those below it, by name."""
    yield name, parser
    for action in parser._actions:
        if isinstance(action, argparse._SubParsersAction):
            for word, below in action.choices.items():
                yield from parsers(below, f"{name} {word}".strip())


def test_every_option_has_a_help_text() -> None:
    """Also those that several subcommands share."""
    found = dict(parsers(make_parser()))
    silent = [
        f"{name}: {'/'.join(action.option_strings) or action.dest}"
        for name, parser in found.items()
        for action in parser._actions
        if not isinstance(action, argparse._SubParsersAction) and not action.help
    ]

    assert len(found) > 15
    assert silent == []


def test_every_subcommand_says_in_the_list_what_it_does() -> None:
    """And there is a function for each."""
    (listed,) = [action for action in make_parser()._actions if isinstance(action, argparse._SubParsersAction)]

    assert {one.dest for one in listed._choices_actions if one.help} == set(listed.choices)
    assert {parser.get_default("subcommand") for parser in listed.choices.values()} == set(cli._RUN)


@pytest.mark.parametrize("name", ["bisect", "capture", "faults", "false-alarms", "probe"])
def test_what_starts_engines_says_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes minutes, and devices."""
    with pytest.raises(SystemExit):
        cli.main([name, "--help"])

    assert "starts engines" in " ".join(capsys.readouterr().out.split())


def test_every_option_of_pytest_has_a_help_text(pytester_free: pytest.Parser) -> None:
    """Of the suite's own."""
    add_options(pytester_free)
    (group,) = [one for one in pytester_free._groups if one.name == "conformance"]

    assert len(group.options) > 10
    assert [option.names() for option in group.options if not option.attrs().get("help")] == []


@pytest.fixture
def pytester_free() -> pytest.Parser:
    """A parser of pytest's that has no options yet."""
    return pytest.Parser(_ispytest=True)

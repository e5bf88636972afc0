"""Every subcommand and every option says what it is for."""

import argparse
from collections.abc import Iterator

import pytest

from npu_conformance.__main__ import main
from npu_conformance.commands import subcommands
from npu_conformance.commands.dev_parser import DEVELOPERS
from npu_conformance.commands.parser import GROUPS, make_parser
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
    found = dict(parsers(make_parser()))
    of_users = [name for name in found if name and " " not in name and name != "dev"]
    ours = [name.removeprefix("dev ") for name in found if name.startswith("dev ")]

    assert len(of_users) <= 13
    assert sorted(name for names in GROUPS.values() for name in names) == sorted([*of_users, "dev"])
    assert sorted(ours) == sorted(DEVELOPERS)
    assert all(parser.description for name, parser in found.items() if name)
    told = {parser.get_default("subcommand") for name, parser in found.items() if name not in ("", "dev")}
    assert told == set(subcommands.RUN)


def test_the_list_is_by_what_one_wants_to_do(capsys: pytest.CaptureFixture[str]) -> None:
    """Each group, and each subcommand in it with a line."""
    with pytest.raises(SystemExit):
        main(["--help"])

    told = capsys.readouterr().out
    assert all(f"{title}:\n" in told for title in GROUPS)
    assert "  merge     Judge two captures as one run" in told


@pytest.mark.parametrize("name", DEVELOPERS)
def test_what_was_a_users_subcommand_says_where_it_went(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """In one line; scripts stop."""
    assert main([name, "--help"]) == 4
    assert capsys.readouterr().err == f"ERROR: {name}: is now called npu-conformance dev {name}\n"


@pytest.mark.parametrize("name", ["run", "bisect", "capture", "dev faults", "dev false-alarms", "dev probe"])
def test_what_starts_engines_says_so(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """It takes minutes, and devices."""
    with pytest.raises(SystemExit):
        main([*name.split(), "--help"])

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

"""What parsers of subcommands have in common."""

import argparse
from pathlib import Path

_FOLDERS = {
    "configs": (Path("model_configs"), "folder of model configs"),
    "docs": (Path("docs"), "folder of the report's schema"),
    "baselines": (Path("baselines"), "folder of published figures and baselines"),
    "reports": (Path("reports"), "folder in which a run's own folder is made"),
}


def add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, more: str = ""
) -> argparse.ArgumentParser:
    """A subcommand whose own help begins with what the list says of it."""
    return commands.add_parser(name, help=what, description=described(what, more))


def described(what: str, more: str = "") -> str:
    """The beginning of a subcommand's own help."""
    return f"{what[0].upper()}{what[1:]}. {more}".rstrip()


def folders(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options for folders that have a usual place."""
    for name in names:
        usual, what = _FOLDERS[name]
        parser.add_argument(f"--{name}", type=Path, default=usual, metavar="DIR", help=f"{what}; default: %(default)s")

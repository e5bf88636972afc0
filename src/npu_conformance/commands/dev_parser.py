"""Subcommands of `npu-conformance dev` and their options: what is done to the suite, to files, and to results."""

import argparse
from pathlib import Path
from typing import get_args

from npu_conformance.commands.adding import add, folders
from npu_conformance.config.limits import Dtype

DEVELOPERS = (
    "cache",
    "convert",
    "false-alarms",
    "faults",
    "history",
    "matrix",
    "probe",
    "reference-python",
    "schema",
    "suggest",
)
"""Their names; they were subcommands of `npu-conformance` itself once."""


def add_developers(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Add them."""
    schema = add(commands, "schema", what="write the JSON Schemas of model configs and of report.json")
    folders(schema, "configs", "docs")
    schema.set_defaults(subcommand="schema")

    matrix = add(commands, "matrix", what="print the nightly's jobs, a model each, as GitHub Actions takes them")
    matrix.add_argument("--filter", default="", metavar="EXPR", help="parts of names with or, and, not; default: all")
    folders(matrix, "configs")
    matrix.add_argument("--trust-remote-code", action="store_true", help="models whose checkpoints bring code too")
    matrix.set_defaults(subcommand="matrix")

    convert = add(commands, "convert", what="write a quantised checkpoint again with plain weights")
    convert.add_argument("source", type=Path, metavar="SRC", help="folder of a quantised or ternary checkpoint")
    convert.add_argument("destination", type=Path, metavar="DST", help="folder to make")
    convert.add_argument("--dtype", choices=get_args(Dtype), help="of the new weights; default: the config's")
    convert.add_argument("--ternary-group-size", type=int, metavar="N", help="fuse latents in groups; -1: whole rows")
    convert.set_defaults(subcommand="convert")

    python = add(
        commands, "reference-python", what="make an interpreter for references that transformers here is too old for"
    )
    python.set_defaults(subcommand="reference_python")

    probe = add(
        commands,
        "probe",
        what="say whether this suite's machinery holds in this machine's engine, as a file for an issue",
        more="This starts engines.",
    )
    probe.add_argument("--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: any found")
    probe.add_argument(
        "-o", "--output", type=Path, metavar="PATH", help="a folder, or a file's name; JSON and Markdown are written"
    )
    probe.add_argument("--points", nargs="+", default=[], metavar="ID", help="only these; default: all")
    probe.add_argument("--engines", nargs="+", default=[], metavar="NAME", help="only these; default: all")
    folders(probe, "configs", "reports")
    probe.set_defaults(subcommand="probe")

    faults = add(
        commands,
        "faults",
        what="put known faults into engines on twins, and say which are caught",
        more="This starts engines.",
    )
    faults.add_argument("--kinds", nargs="+", default=[], metavar="NAME", help="only these; default: all")
    faults.add_argument("--over-http", action="store_true", help="into a server of one twin, judged over HTTP too")
    faults.add_argument("--record", type=Path, metavar="DOCS", help="let docs and reports quote the results")
    folders(faults, "configs", "reports")
    faults.set_defaults(subcommand="faults")

    sound = add(
        commands, "false-alarms", what="judge many prompt sets of twins with nothing wrong", more="This starts engines."
    )
    folders(sound, "configs", "reports")
    sound.set_defaults(subcommand="false_alarms")

    suggest = add(commands, "suggest", what="print the limits that a run supports, as a diff of the model's YAML")
    suggest.add_argument("model", metavar="MODEL", help="file name of its config, without .yaml")
    suggest.add_argument(
        "--run",
        dest="report",
        type=Path,
        default=Path("reports/latest"),
        metavar="DIR",
        help="report folder of the run; default: %(default)s",
    )
    folders(suggest, "configs")
    suggest.set_defaults(subcommand="suggest")

    cached = add(commands, "cache", what="show what the cache holds, or remove what is not used any more")
    cached.add_argument("--prune", action="store_true", help="remove what older code made; what is in use stays")
    cached.add_argument("--older-than", type=float, metavar="DAYS", help="prune: and what was not used for so long")
    cached.add_argument("--to", metavar="SIZE", help="prune: and the least recently used, until SIZE (20GB) is left")
    cached.set_defaults(subcommand="cache")

    history = add(commands, "history", what="write a page over all saved runs, or remove the old ones")
    history.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N runs; says what that frees")
    folders(history, "reports")
    history.set_defaults(subcommand="history")

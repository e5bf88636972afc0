"""Subcommands of `npu-conformance` and their options, each with what it is for."""

import argparse
from pathlib import Path
from typing import get_args

from npu_conformance.config.limits import Dtype
from npu_conformance.run.settings import add_subject_options

_FOLDERS = {
    "configs": (Path("model_configs"), "folder of model configs"),
    "docs": (Path("docs"), "folder of the report's schema"),
    "baselines": (Path("baselines"), "folder of published figures and baselines"),
    "reports": (Path("reports"), "folder in which a run's own folder is made"),
}


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]", name: str, what: str, more: str = ""
) -> argparse.ArgumentParser:
    """A subcommand whose own help begins with what the list says of it."""
    return commands.add_parser(name, help=what, description=f"{what[0].upper()}{what[1:]}. {more}".rstrip())


def _folders(parser: argparse.ArgumentParser, *names: str) -> None:
    """Options for folders that have a usual place."""
    for name in names:
        usual, what = _FOLDERS[name]
        parser.add_argument(f"--{name}", type=Path, default=usual, metavar="DIR", help=f"{what}; default: %(default)s")


def make_parser() -> argparse.ArgumentParser:
    """What the command line may say; `subcommand` names what is asked for."""
    parser = argparse.ArgumentParser(
        prog="npu-conformance", description="What is done to configs, twins and reports outside a pytest run."
    )
    commands = parser.add_subparsers(required=True, metavar="SUBCOMMAND")

    schema = _add(commands, "schema", what="write the JSON Schemas of model configs and of report.json")
    _folders(schema, "configs", "docs")
    schema.set_defaults(subcommand="schema")

    check = _add(commands, "check", what="validate model configs and their prompt sets")
    check.add_argument("model", nargs="*", help="file names without .yaml; default: all")
    _folders(check, "configs")
    check.set_defaults(subcommand="check")

    matrix = _add(commands, "matrix", what="print the nightly's jobs, a model each, as GitHub Actions takes them")
    matrix.add_argument("--filter", default="", metavar="EXPR", help="parts of names with or, and, not; default: all")
    _folders(matrix, "configs")
    matrix.add_argument("--trust-remote-code", action="store_true", help="models whose checkpoints bring code too")
    matrix.set_defaults(subcommand="matrix")

    convert = _add(commands, "convert", what="write a quantised checkpoint again with plain weights")
    convert.add_argument("source", type=Path, metavar="SRC", help="folder of a quantised or ternary checkpoint")
    convert.add_argument("destination", type=Path, metavar="DST", help="folder to make")
    convert.add_argument("--dtype", choices=get_args(Dtype), help="of the new weights; default: the config's")
    convert.add_argument("--ternary-group-size", type=int, metavar="N", help="fuse latents in groups; -1: whole rows")
    convert.set_defaults(subcommand="convert")

    doctor = _add(commands, "doctor", what="say what is wrong with this machine, a model on it, or a checkpoint")
    doctor.add_argument(
        "target", nargs="?", metavar="TARGET", help="a model's config or a checkpoint; default: neither"
    )
    doctor.add_argument("--fix-config", action="store_true", help="write the values the weights have into config.json")
    doctor.add_argument("--digests", action="store_true", help="read a folder's files and compare all known digests")
    doctor.add_argument("--json", action="store_true", help="print one JSON object instead of lines")
    doctor.add_argument("--strict", action="store_true", help="warnings count as errors")
    doctor.add_argument("--models-root", type=Path, metavar="DIR", help="look for weights here first")
    doctor.add_argument(
        "--device", choices=("npu", "cuda", "cpu"), help="insist on this platform; default: what is found"
    )
    _folders(doctor, "configs", "reports")
    doctor.set_defaults(subcommand="doctor")

    python = _add(
        commands, "reference-python", what="make an interpreter for references that transformers here is too old for"
    )
    python.set_defaults(subcommand="reference_python")

    probe = _add(
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
    _folders(probe, "configs", "reports")
    probe.set_defaults(subcommand="probe")

    bisect = _add(
        commands,
        "bisect",
        what="find the features, the position and the layer where a model fails",
        more="This starts engines: base first, then one for each combination of features that it tries. Traces of an "
        "earlier run are not used.",
    )
    bisect.add_argument("model", help="file name of its config, without .yaml")
    bisect.add_argument("--variant", default="", metavar="A,B,…", help="a failing combination; default: as_served")
    _folders(bisect, "configs", "reports")
    add_subject_options(bisect.add_argument)
    bisect.set_defaults(subcommand="bisect")

    faults = _add(
        commands,
        "faults",
        what="put known faults into engines on twins, and say which are caught",
        more="This starts engines.",
    )
    faults.add_argument("--kinds", nargs="+", default=[], metavar="NAME", help="only these; default: all")
    faults.add_argument("--record", type=Path, metavar="DOCS", help="let docs and reports quote the results")
    _folders(faults, "configs", "reports")
    faults.set_defaults(subcommand="faults")

    sound = _add(
        commands, "false-alarms", what="judge many prompt sets of twins with nothing wrong", more="This starts engines."
    )
    _folders(sound, "configs", "reports")
    sound.set_defaults(subcommand="false_alarms")

    capture = _add(
        commands,
        "capture",
        what="make one machine's part of a run, as a folder to carry to another",
        more="This starts engines; with --reference it computes the reference only.",
    )
    capture.add_argument("model", help="file name of its config, without .yaml")
    capture.add_argument("-o", "--output", type=Path, required=True, metavar="DIR", help="folder to make")
    capture.add_argument("--reference", action="store_true", help="the reference's part, over the tokens of --tokens")
    capture.add_argument("--tokens", type=Path, metavar="DIR", help="captured folder whose tokens to take")
    capture.add_argument("--variants", default="", metavar="A,B,…", help="default: base,as_served")
    _folders(capture, "configs", "reports")
    add_subject_options(capture.add_argument)
    capture.set_defaults(subcommand="capture")

    compare = _add(
        commands, "compare", what="judge two captures as one run; or say, of two runs, whether the later got worse"
    )
    compare.add_argument("before", type=Path, metavar="BEFORE", help="a capture, or the earlier run's report folder")
    compare.add_argument("after", type=Path, metavar="AFTER", help="the other one")
    _folders(compare, "configs", "baselines", "reports")
    compare.add_argument("--model", nargs="+", default=[], metavar="NAME", help="only these; default: all in both")
    compare.set_defaults(subcommand="compare")

    watch = _add(commands, "watch", what="check a live server every few minutes against a baseline")
    watch.add_argument("--server", required=True, metavar="URL", help="of an OpenAI-compatible vLLM server")
    watch.add_argument("--baseline", type=Path, required=True, metavar="FILE", help="baselines/MODEL/PLATFORM.json")
    watch.add_argument("--model", metavar="NAME", help="as the server names it; default: its first")
    watch.add_argument("--every", type=float, default=300, metavar="SECONDS", help="default: %(default)s")
    watch.add_argument("--once", action="store_true", help="check once and end")
    watch.add_argument("--prompts", type=int, default=16, metavar="N", help="asked in a check; default: %(default)s")
    watch.add_argument("--tokens", type=int, default=8, metavar="N", help="asked for of each; default: %(default)s")
    watch.set_defaults(subcommand="watch")

    suggest = _add(commands, "suggest", what="print the limits that a run supports, as a diff of the model's YAML")
    suggest.add_argument("model", metavar="MODEL", help="file name of its config, without .yaml")
    suggest.add_argument(
        "--run",
        dest="report",
        type=Path,
        default=Path("reports/latest"),
        metavar="DIR",
        help="report folder of the run; default: %(default)s",
    )
    _folders(suggest, "configs")
    suggest.set_defaults(subcommand="suggest")

    cached = _add(commands, "cache", what="show what the cache holds, or remove what is not used any more")
    cached.add_argument("--prune", action="store_true", help="remove what older code made; what is in use stays")
    cached.add_argument("--older-than", type=float, metavar="DAYS", help="prune: and what was not used for so long")
    cached.add_argument("--to", metavar="SIZE", help="prune: and the least recently used, until SIZE (20GB) is left")
    cached.set_defaults(subcommand="cache")

    render = _add(commands, "report", what="render a report folder's report.json again: pages, cards, pictures")
    render.add_argument(
        "folder", type=Path, nargs="?", default=Path("reports/latest"), help="of a run; default: %(default)s"
    )
    render.add_argument("--graded", action="store_true", help="also <Model>.graded.md, the rows that a contest grades")
    render.set_defaults(subcommand="report")

    history = _add(commands, "history", what="write a page over all saved runs, or remove the old ones")
    history.add_argument("--keep", type=int, metavar="N", help="remove all but the newest N runs; says what that frees")
    _folders(history, "reports")
    history.set_defaults(subcommand="history")
    return parser
